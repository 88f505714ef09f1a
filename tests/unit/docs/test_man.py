"""The manual pages are those of the commands, whole, and as man(7) wants them."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import click
import pytest
from docs.man import roff
from docs.man.__main__ import FOLDER
from docs.man.common import EXIT_CODES, related
from docs.man.pages import pages

from warp_portal import errors
from warp_portal.cli.main import cli
from warp_portal.config import SETTINGS

PAGES = dict(pages())


def commands(command: click.Command = cli, context: click.Context | None = None) -> Iterator[tuple[str, click.Command]]:
    """Each command with its words."""
    context = context or click.Context(cli, info_name="warp")
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, click.Context(found, info_name=name, parent=context))


COMMANDS = dict(commands())


def test_the_committed_pages_are_up_to_date() -> None:
    """If not: ./dev man."""
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == PAGES


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_of_a_command_is_on_its_page(path: str) -> None:
    page = PAGES[f"{path.replace(' ', '-')}.1"]
    for parameter in COMMANDS[path].params:
        is_shown = isinstance(parameter, click.Option) and not parameter.hidden
        names = (*parameter.opts, *parameter.secondary_opts) if is_shown else ()
        assert all(roff.text(name) in page for name in names)


def test_every_command_has_a_page_and_no_other_is_there() -> None:
    assert {f"{path.replace(' ', '-')}.1" for path in COMMANDS} == set(PAGES)


def test_every_setting_is_among_the_variables() -> None:
    assert all(f"WARP_{name.upper()}" in PAGES["warp.1"].replace("\\", "") for name in SETTINGS)


def test_every_exit_code_that_a_command_has_is_told() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WarpPortalError)
    ]
    later = {18}  # of portals, which are to come
    codes = {kind.exit_code for kind in kinds} | {0, errors.EXIT_DIFFERENT, errors.EXIT_BROKEN_PIPE}
    assert {int(code) for code, _ in EXIT_CODES} == codes - later


def test_pages_refer_to_pages_that_are_there() -> None:
    for path in COMMANDS:
        assert set(related(path)) <= set(COMMANDS)


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_groff_finds_nothing_to_warn_of(name: str) -> None:
    ran = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8"], input=PAGES[name], capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    shown = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", ran.stdout)
    assert "EXIT STATUS" in shown


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    assert roff.line(".TH 'x'") == "\\&.TH \\(aqx\\(aq"
    assert roff.text("C:\\new") == "C:\\enew"
    assert roff.prose("One.\n\n\b\n  a  b\n  .c") == ["One.", ".PP", ".RS 4", ".nf", "\\&a  b", "\\&.c", ".fi", ".RE"]
