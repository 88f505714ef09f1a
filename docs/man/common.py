"""What manual pages say beside their commands: files, environment, exit codes, and which pages belong together."""

from typing import Final

from warp_portal.config import APP, SETTINGS, SYSTEM_FILE

FILES: Final = (
    (SYSTEM_FILE, "Settings of the machine."),
    (f"~/.config/{APP}/config.toml", "Your settings; `warp config path` names the file on this system."),
    (
        ".warp-portal.toml",
        "In the working directory: settings that can do no harm; keys and excludes are refused there.",
    ),
    (
        f"~/.local/state/{APP}",
        "What this machine remembers of archives (the newest commit and signer of each), and unfinished creates. "
        "Without it nothing is lost but the knowledge of what is old, and what follows.",
    ),
    (
        f"~/.local/state/{APP}/machine-key",
        "The private key by which other machines know this one, made when it is first needed. Who has it is this machine to "
        "them; without it, it is a stranger.",
    ),
    (
        f"~/.local/state/{APP}/peers.json",
        "The machines saved by `warp peers`, with their keys. Who may write it lets in whom he likes; no other may read it.",
    ),
    (
        "ARCHIVE.compact-XXXXXXXX",
        "Beside an archive, while it is written anew. What a killed run leaves, the next forget or compact removes.",
    ),
)

_OWN_VARIABLES: Final = (
    ("WARP_PASSPHRASE", "The passphrase itself. Other programs of yours can read it: prefer WARP_PASSPHRASE_FILE."),
    ("WARP_CONFIG", "Another file in place of your own config.toml."),
    ("WARP_DEBUG", "Not empty and not 0: show tracebacks."),
)

EXIT_CODES: Final = (
    ("0", "Done."),
    ("1", "Failed: read the message."),
    ("2", "The options make no sense, or the target exists: change the command."),
    ("3", "Done, but for some paths, which were listed."),
    ("4", "What was compared differs (diff --exit-code, verify --level source)."),
    ("10", "No such archive, snapshot, path, slot, peer or setting, or no entry that a pattern matches."),
    ("11", "Another writer holds the archive, the settings or the peers: wait for it."),
    ("12", "A key is needed, or the given ones open nothing."),
    ("13", "Damaged, forged, rolled back, or not signed as it must be."),
    ("16", "Written by a newer version, or not possible on this system."),
    ("17", "No room left: make room, and run it again."),
    ("130", "Interrupted: run it again."),
    ("141", "The reader of standard output has left."),
)

# Beyond the command's own group: what one looks for next.
_NEXT: Final = {
    "warp create": ("warp append", "warp verify", "warp key"),
    "warp append": ("warp create", "warp diff", "warp forget"),
    "warp extract": ("warp list", "warp cat"),
    "warp cat": ("warp list", "warp extract"),
    "warp list": ("warp extract", "warp info"),
    "warp info": ("warp list", "warp key list"),
    "warp diff": ("warp append", "warp verify"),
    "warp verify": ("warp diff", "warp extract"),
    "warp forget": ("warp compact", "warp info"),
    "warp compact": ("warp forget",),
    "warp completion": ("warp config",),
}


def environment() -> list[tuple[str, str]]:
    """Every variable that is read, the settings' among them."""
    settings = [
        (f"WARP_{name.upper()}", f"The setting {name}: {setting['says']}.") for name, setting in SETTINGS.items()
    ]
    return [*settings, *_OWN_VARIABLES]


def related(command: str) -> tuple[str, ...]:
    """Commands that the page of one refers to, without those of its own group."""
    return _NEXT.get(command, ())
