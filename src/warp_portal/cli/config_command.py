"""`warp config`: what settings hold, where each comes from, and how to change them."""

import os
from pathlib import Path
from typing import Final

import click

from warp_portal import config
from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.text import columns, printable, shortened
from warp_portal.errors import NotFoundError, UsageError
from warp_portal.secrecy import redacted
from warp_portal.units import typed_bytes

READ_FILES: Final = ("passphrase_file", "identity", "recipient", "sign")
SIZES: Final = ("memory", "checkpoint_bytes")
VALUE_WIDTH: Final = 40  # of a value in the list: a key's text has 2,000 characters


@click.group("config")
def command() -> None:
    """Show and change settings.

    Each is taken from the last of: defaults, /etc/warp-portal/config.toml, your own file, .warp-portal.toml in the
    working directory (harmless settings only), the environment (WARP_THREADS, …), options.
    """


@command.command("list", epilog=epilog("config list"))
@options.common
def list_settings(output: Output) -> int:
    """List all settings: value, where it comes from, what it is.

    Of a long value, as a key's, the middle is left out, and sizes stand as they are typed (256M): `warp config get` and
    --json give them whole, and in bytes.
    """
    effective = config.load()
    rows = []
    for name, setting in config.SETTINGS.items():
        value = getattr(effective.config, name)
        output.record("setting", name=name, value=value, origin=effective.origin[name], about=setting["says"])
        typed = typed_bytes(value) if name in SIZES else shown(value)
        rows.append((name, shortened(typed, VALUE_WIDTH), effective.origin[name], setting["says"]))
    for line in columns([("SETTING", "VALUE", "FROM", "ABOUT"), *rows]):
        output.result(line)
    return 0


@command.command("get", epilog=epilog("config get"))
@click.argument("name")
@options.common
def get_setting(output: Output, name: str) -> int:
    """Print the value of one setting."""
    effective = config.load()
    if name not in config.SETTINGS:
        raise NotFoundError(config.unknown(name))
    value = getattr(effective.config, name)
    output.record("setting", name=name, value=value, origin=effective.origin[name])
    output.result(shown(value))
    return 0


@command.command("set", epilog=epilog("config set"))
@click.argument("name")
@click.argument("values", metavar="VALUE…", nargs=-1, required=True)
@options.common
def set_setting(output: Output, name: str, values: tuple[str, ...]) -> int:
    """Set NAME in your own file, keeping its comments.

    A list takes several VALUEs. The name of a file is made absolute, so that it holds wherever warp runs.
    """
    path = config.user_file()
    from warp_portal.cli import settings_file

    value = settings_file.store(name, values, Path(path))
    output.record("setting", name=name, value=value, origin=path)
    output.status(f"{path}: {name} = {shown(value)}")
    if name in READ_FILES:
        _note_missing(output, value)
    _warn_of_others(output, name, path)
    return 0


def _note_missing(output: Output, value: object) -> None:
    for file in value if isinstance(value, tuple) else (str(value),):
        if file.startswith("/") and not os.path.exists(file):
            output.note(f"{file} is not there")


def _warn_of_others(output: Output, name: str, path: str) -> None:
    """That another setting in the file, which somebody has written into it, stops every command, this one stored or not."""
    try:
        config.load(files=(config.ConfigFile(path),), environ={})
    except UsageError as error:
        output.warning(
            f"{name} is stored, but another setting there stops every command until it is set anew or unset: {error}"
        )


@command.command("unset", epilog=epilog("config unset"))
@click.argument("name")
@options.common
def unset_setting(output: Output, name: str) -> int:
    """Take NAME out of your own file.

    What the other sources say holds then: see `warp config list`.
    """
    path = config.user_file()
    from warp_portal.cli import settings_file

    was_there = settings_file.remove(name, Path(path))
    if not was_there and name not in config.SETTINGS:
        raise NotFoundError(config.unknown(name))
    output.record("setting", name=redacted(name), value=None, origin=path)
    output.status(f"{path}: {redacted(name)} {'is no longer set' if was_there else 'was not set'} there")
    return 0


@command.command("path", epilog=epilog("config path"))
@options.common
def show_paths(output: Output) -> int:
    """Print the files that are read, the last one first."""
    for file in reversed(config.default_files()):
        output.record("file", path=file.path, exists=os.path.exists(file.path), trusted=file.trusted)
        output.result(f"{file.path}{'' if os.path.exists(file.path) else '  (not there)'}")
    return 0


def shown(value: object) -> str:
    """A value as it would be typed."""
    if isinstance(value, tuple):
        return " ".join(printable(str(item)) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else printable(str(value))
