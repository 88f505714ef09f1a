"""The examples of `--help` and of the manual pages are commands that the program takes."""

import re
import shlex

import click
import pytest

from warp_portal.cli.examples import epilog, examples
from warp_portal.cli.main import cli


def leaves(command: click.Command = cli, words: tuple[str, ...] = ()) -> list[str]:
    """The words of every command that is no group."""
    if not isinstance(command, click.Group):
        return [" ".join(words)]
    context = click.Context(command)
    found = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return [leaf for name, each in found if each for leaf in leaves(each, (*words, name))]


def leaf(words: list[str]) -> click.Command:
    """The command of these words."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


NAMES = leaves()


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_read_without_an_error(name: str) -> None:
    for line, _ in examples(name):
        found = re.search(r"\bwarp ([^|<>)]*)", line)
        assert found, line
        words = shlex.split(found[1])
        parts = name.split()
        assert words[: len(parts)] == parts, line
        leaf(parts).make_context(name, words[len(parts) :])


@pytest.mark.parametrize("name", NAMES)
def test_examples_fit_on_a_terminal_of_80_columns(name: str) -> None:
    assert max(map(len, epilog(name).splitlines())) <= 78
