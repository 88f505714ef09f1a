"""Where keys come from on the command line: prompts, files and the environment, never argv.

Passphrases are asked for on the terminal, twice for a new one. `--passphrase-file` (or WARP_PASSPHRASE_FILE) reads the
first line of a file; WARP_PASSPHRASE holds the passphrase itself and is said to be the worse way.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from warp_portal.archive import SUITES, Lock, Unlock
from warp_portal.cli.output import Output
from warp_portal.config import Config, environment_passphrase, load
from warp_portal.errors import KeyRequiredError, NotFoundError, UsageError, WrongKeyError
from warp_portal.keys import Identity, SigningKey, load_recipient
from warp_portal.secrecy import refuse_private_key
from warp_portal.telemetry import conceal

PROMPTS: Final = 3
MAX_PASSPHRASE_FILE: Final = 64 * 1024

T = TypeVar("T")


def unlocked(output: Output, settings: Config, attempt: Callable[[Unlock], T]) -> T:
    """Run `attempt` with the keys given; if it needs one and none was given, ask for the passphrase, up to three times."""
    unlock = given(output, settings)
    try:
        return attempt(unlock)
    except WrongKeyError:
        raise
    except KeyRequiredError as error:
        if unlock or not on_terminal():
            hint = "--passphrase-file or --identity, or run it on a terminal to be asked"
            raise KeyRequiredError(f"{error}: {hint}") from None
    for tries_left in range(PROMPTS - 1, -1, -1):
        try:
            return attempt(Unlock(passphrases=(ask("Passphrase: "),), large_argon2=settings.large_argon2))
        except WrongKeyError as error:
            if tries_left == 0:
                raise
            output.remark(f"warp: {error}: try again")
    raise AssertionError("the last try returns or raises")


def is_possible(settings: Config) -> bool:
    """Whether there is anything with which an archive could be opened: a key that is set, or a person to ask."""
    return bool(settings.passphrase_file or settings.identity or environment_passphrase()) or on_terminal()


def given(output: Output, settings: Config) -> Unlock:
    """The keys that options, settings and environment name."""
    passphrase = configured_passphrase(output, settings)
    identities = tuple(Identity.load(os.path.expanduser(path)) for path in settings.identity)
    passphrases = () if passphrase is None else (passphrase,)
    return Unlock(passphrases=passphrases, identities=identities, large_argon2=settings.large_argon2)


def lock_for(output: Output, settings: Config, encrypt: bool | None, *, for_recipients: bool = False) -> Lock | None:
    """What opens a new archive; None for a plain one, which is said. `encrypt` True asks for a passphrase if there is none.

    With `for_recipients` the command line names them and no passphrase: then one that a settings file names is not for it.
    """
    if encrypt is False:
        return None
    if for_recipients and not encrypt:
        settings = _without_own_passphrase(output, settings)
    passphrase = configured_passphrase(output, settings)
    recipients = tuple(load_recipient(text) for text in settings.recipient)
    if encrypt and passphrase is None:
        passphrase = ask_twice()
    if passphrase is None and not recipients:
        return None
    return Lock(
        passphrases=() if passphrase is None else (passphrase,), recipients=recipients, suite=SUITES[settings.cipher]
    )


def _without_own_passphrase(output: Output, settings: Config) -> Config:
    """Whoever gets the archive could guess at it. One in the environment was given for this run, and stays."""
    if settings.passphrase_file == load(files=()).config.passphrase_file:
        return settings
    output.warning(
        "your passphrase (passphrase_file in the settings) will not open it, only the recipients' keys: -p FILE or --encrypt "
        "beside --recipient adds a passphrase"
    )
    return replace(settings, passphrase_file=None)


def signing_key(settings: Config) -> SigningKey | None:
    """The key that signs, if one is set."""
    return None if settings.sign is None else SigningKey.load(os.path.expanduser(settings.sign))


def configured_passphrase(output: Output, settings: Config) -> str | None:
    """From the file that is set, or else from the environment."""
    if settings.passphrase_file is not None:
        return read_passphrase(output, settings.passphrase_file)
    passphrase = environment_passphrase()
    if passphrase is not None:
        output.note(
            "the passphrase is taken from WARP_PASSPHRASE, which other programs may see: prefer WARP_PASSPHRASE_FILE"
        )
        conceal(passphrase)
    return passphrase


def read_passphrase(output: Output, path: str) -> str:
    """The first line of a file, without its end; later lines are for remarks."""
    refuse_private_key(path)
    try:
        with open(os.path.expanduser(path), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_PASSPHRASE_FILE)
    except FileNotFoundError:
        if path == "-":
            raise UsageError(
                "- is no passphrase file: /dev/stdin reads standard input, and without -p the passphrase is asked for on the "
                "terminal"
            ) from None
        raise NotFoundError(f"{path}: no such passphrase file: check its path") from None
    if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o044:
        output.note(f"{path} can be read by others: chmod 600 it")
    try:
        passphrase = content.split(b"\n", 1)[0].removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: the passphrase is not UTF-8: write it as text") from None
    if not passphrase:
        raise UsageError(f"{path}: its first line is empty: write the passphrase there")
    conceal(passphrase)
    return passphrase


def ask_twice(instead: str = "--passphrase-file or --recipient") -> str:
    """A new passphrase from the terminal; `instead` are the options for where there is none."""
    if not on_terminal():
        raise KeyRequiredError(f"there is no terminal to ask for a passphrase: use {instead}")
    passphrase = ask("New passphrase: ")
    if not passphrase:
        raise UsageError("an empty passphrase protects nothing: choose one")
    if ask("Once more: ") != passphrase:
        raise UsageError("the two passphrases differ: nothing was done, try again")
    return passphrase


def ask(prompt: str) -> str:
    """Ask on the terminal, without echo."""
    import getpass

    passphrase = getpass.getpass(prompt)
    conceal(passphrase)
    return passphrase


def on_terminal() -> bool:
    """Whether there is a person to ask."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
