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
        f"~/.local/state/{APP}/sessions",
        "Transfers that are not finished, a directory each: what is sent or received, the ticket, and how far it is. Who can "
        "read it can take the place of the other side. It goes when the transfer ends.",
    ),
    (
        "DIR/…/.warp-XXXXXXXXXXXXXXXX-XXXXXXXXXXXXXXXX.part",
        "Where something is received: a file that is not whole yet. The same transfer goes on with it.",
    ),
    (
        "ARCHIVE.compact-XXXXXXXX",
        "Beside an archive, while it is written anew. What a killed run leaves, the next forget or compact removes.",
    ),
)

_OWN_VARIABLES: Final = (
    ("WARP_PASSPHRASE", "The passphrase itself. Other programs of yours can read it: prefer WARP_PASSPHRASE_FILE."),
    (
        "WARP_CODE",
        "The code or ticket for `warp receive`, or the ticket for `warp doctor`, where none is given. Other programs of yours "
        "can read it too; those of others cannot, as they can arguments.",
    ),
    ("WARP_CONFIG", "Another file in place of your own config.toml."),
    ("WARP_DEBUG", "Not empty and not 0: show tracebacks."),
)

EXIT_CODES: Final = (
    ("0", "Done."),
    ("1", "Failed: read the message."),
    ("2", "The options make no sense, or the target exists: change the command."),
    ("3", "Done, but for some paths, which were listed."),
    ("4", "What was compared differs (diff --exit-code, verify --level source)."),
    (
        "10",
        "No such archive, snapshot, path, slot, peer or setting, no entry that a pattern matches, or nobody with this code.",
    ),
    ("11", "Another writer holds the archive, the settings, the peers or the session: wait for it."),
    ("12", "A key is needed, the given ones open nothing, or the other machine is not the one expected."),
    ("13", "Damaged, forged, rolled back, or not signed as it must be."),
    ("14", "Refused: the offer was not taken, or the ticket has expired."),
    ("15", "No machine answers, or the connection broke: try again."),
    ("16", "Written by a newer version, or not possible on this system."),
    ("17", "No room left: make room, and run it again."),
    ("19", "The other machine broke a rule of the protocol: update both."),
    ("130", "Interrupted: run it again."),
    ("141", "The reader of standard output has left."),
)

# Beyond the command's own group: what one looks for next.
_NEXT: Final = {
    "warp create": ("warp append", "warp verify", "warp key"),
    "warp append": ("warp create", "warp diff", "warp forget"),
    "warp extract": ("warp list", "warp cat"),
    "warp doctor": ("warp send", "warp receive", "warp bench cpu"),
    "warp cat": ("warp list", "warp extract"),
    "warp list": ("warp extract", "warp info"),
    "warp info": ("warp list", "warp key list"),
    "warp diff": ("warp append", "warp verify"),
    "warp verify": ("warp diff", "warp extract"),
    "warp forget": ("warp compact", "warp info"),
    "warp compact": ("warp forget",),
    "warp completion": ("warp config",),
    "warp send": ("warp receive", "warp serve", "warp peers", "warp sessions resume"),
    "warp serve": ("warp send", "warp receive", "warp peers"),
    "warp receive": ("warp send", "warp serve", "warp peers", "warp sessions resume"),
}

# What is too long for the help of an option: (title, text as in a command's help).
_FURTHER: Final = {
    "warp send": (
        (
            "LIMITS",
            """
            `--limit` takes a rate, or a timetable of the week:

            \b
            10MiB/s
            08:00-18:00=5MiB/s,18:00-23:00=20MiB/s,off
            mon-fri 08:00-18:00=80Mbit/s,sat-sun=off,20MiB/s

            A rate is of bytes (`10MiB/s`, `512K`) or of bits (`80Mbit/s`, `80Mbps`), a second; 1000 bytes at least, and `off`
            is no limit. An entry of a timetable is days, times or both, and its rate: `mon` to `sun`, alone or as `mon-fri`;
            `HH:MM-HH:MM`, to 24:00. Entries are parted by commas. The first that fits holds; where none does, the rate at the
            end, or no limit. `fri-mon` and `22:00-06:00` go over the end of the week and of the day: the hours after midnight
            belong to the day on which they began. Times are those of this machine's clock. A limit is of what goes over the
            network; it changes while a transfer runs.
            """,
        ),
    ),
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


def further(command: str) -> tuple[tuple[str, str], ...]:
    """Sections that the page of a command has besides: title and text."""
    return _FURTHER.get(command, ())
