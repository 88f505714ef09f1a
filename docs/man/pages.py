"""From a command of click to its manual page, in man(7): so that no option is forgotten, and none is invented.

NAME  SYNOPSIS  DESCRIPTION  COMMANDS  OPTIONS  (what else there is)  EXAMPLES  EXIT STATUS  FILES  ENVIRONMENT  SEE ALSO
"""

from collections.abc import Iterator

import click
from docs.man import common, roff

from warp_portal.cli.examples import examples
from warp_portal.cli.main import SECTIONS, cli


def pages() -> Iterator[tuple[str, str]]:
    """The name of the file and the text of each page: warp, its commands, and theirs."""
    yield from _pages(cli, click.Context(cli, info_name="warp"))


def _pages(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield f"{_page_name(context.command_path)}.1", _page(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _pages(found, click.Context(found, info_name=name, parent=context))


def _page(command: click.Command, context: click.Context) -> str:
    path = context.command_path
    brief = _brief(command, context).rstrip(".")
    lines = [
        '.\\" Generated from the command by ./dev man: change that, or docs/man.',
        f'.TH {roff.text(_page_name(path).upper())} 1 "" "Warp + Portal" "Warp manual"',
        *_section("NAME", [f"{roff.text(_page_name(path))} \\- {roff.line(brief[:1].lower() + brief[1:])}"]),
        *_section("SYNOPSIS", _synopsis(command, context)),
        *_section("DESCRIPTION", roff.prose(command.help or "")),
        *_section("COMMANDS", _commands(command, context)),
        *_section("OPTIONS", _options(command, context)),
        *(row for title, text in common.further(path) for row in _section(title, roff.prose(text))),
        *_section("EXAMPLES", [] if isinstance(command, click.Group) else _examples(path)),
        *_section("EXIT STATUS", roff.listed(list(common.EXIT_CODES))),
        *_section("FILES", roff.listed(list(common.FILES))),
        *_section("ENVIRONMENT", _environment(path)),
        *_section("SEE ALSO", [_see_also(command, context)]),
    ]
    return "\n".join(lines) + "\n"


def _brief(command: click.Command, context: click.Context) -> str:
    """What it does in one line: as `warp --help` says, where that says it."""
    listed = {f"warp {name}": says for _, commands in SECTIONS for name, says in commands}
    return listed.get(context.command_path) or command.get_short_help_str(limit=200)


def _page_name(path: str) -> str:
    return path.replace(" ", "-")


def _section(title: str, lines: list[str]) -> list[str]:
    return [f".SH {title}", *lines] if lines else []


def _synopsis(command: click.Command, context: click.Context) -> list[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    return [f"\\fB{roff.text(context.command_path)}\\fR {roff.text(pieces)}"]


def _commands(command: click.Command, context: click.Context) -> list[str]:
    if not isinstance(command, click.Group):
        return []
    if command is cli:
        return roff.listed([(name, says) for _, commands in SECTIONS for name, says in commands])
    found = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return roff.listed([(name, each.get_short_help_str(200)) for name, each in found if each])


def _options(command: click.Command, context: click.Context) -> list[str]:
    options = (each for each in command.get_params(context) if isinstance(each, click.Option))
    records = (option.get_help_record(context) for option in options)
    return roff.listed([record for record in records if record])


def _examples(path: str) -> list[str]:
    lines = []
    for words, says in examples(path.removeprefix("warp ")):
        lines += [*([".PP", roff.line(says[:1].upper() + says[1:] + ":")] if says else [".PP"]), *roff.literal(words)]
    return lines


def _environment(path: str) -> list[str]:
    """All of it on the first page; the others refer to that."""
    if path == "warp":
        return roff.listed(common.environment())
    return [roff.line("`WARP_` and the name of a setting in upper case, for each setting: see `warp`(1).")]


def _see_also(command: click.Command, context: click.Context) -> str:
    near: list[str] = []
    if context.parent is not None:
        near.append(context.parent.command_path)
    if isinstance(command, click.Group):
        near += [f"{context.command_path} {name}" for name in command.list_commands(context)]
    names = dict.fromkeys((*near, *common.related(context.command_path)))
    return ",\n".join(f"\\fB{roff.text(_page_name(name))}\\fR(1)" for name in names)
