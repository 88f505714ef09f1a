"""Examples of each command: the end of its `--help`, and the section EXAMPLES of its manual page.

`tests/unit/cli/test_examples.py` reads each line as the command would.
"""

from typing import Final

_EXAMPLES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "create": (
        ("warp create home.warp work --encrypt", "passphrase asked"),
        ("warp create home.warp work -x node_modules -x '*.tmp'", "leaves them out"),
        ("warp create out.warp work -r their.pub --sign my.key", "for others, signed"),
        ("pg_dump shop | warp create a.warp --stdin-name shop.sql", "from a pipe"),
    ),
    "analyze": (
        ("warp analyze work -x node_modules", "size, time, options"),
        ("warp analyze work --full", "reads all: every duplicate"),
        ("warp analyze work --compression zstd:9 --json", "for programs"),
    ),
    "append": (
        ("warp append home.warp work -x '*.tmp'", "excludes again"),
        ("warp append home.warp work --recover", "cuts a damaged end off first"),
    ),
    "extract": (
        ("warp extract home.warp -C back", "everything, below back/"),
        ("warp extract home.warp work/papers/ -s 3 -C back", "a folder of snapshot 3"),
        ("warp extract home.warp '*.tex' --dry-run", "what would be restored"),
        ("warp extract home.warp -C back --overwrite changed", "also what differs"),
        ("warp extract home.warp -C back --recover", "the end is damaged"),
        ("warp extract home.warp -C back --keep-damaged", "with what is left"),
    ),
    "cat": (
        ("warp cat home.warp work/notes.txt | less", ""),
        ("warp cat shop.warp shop.sql -s 2 | psql shop", "of snapshot 2"),
    ),
    "list": (
        ("warp list home.warp 'work/**/*.py'", "as in .gitignore"),
        ("warp list home.warp work/papers/ -s 1 --paths", "names alone"),
    ),
    "info": (
        ("warp info home.warp", "snapshots, sizes, key slots"),
        ("warp info home.warp --json", "for programs"),
    ),
    "diff": (
        ("warp diff home.warp", "between the last two snapshots"),
        ("warp diff home.warp 1 3 'work/**'", "from 1 to 3, of these"),
        ("warp diff home.warp --tree", "what changed since the last one"),
        ("warp diff home.warp --top 10", "what grew or shrank most"),
    ),
    "verify": (
        ("warp verify home.warp", "every stored byte, no key"),
        ("warp verify home.warp --level deep", "everything in it"),
        ("warp verify home.warp --level source", "and compare with the files"),
        ("warp verify out.warp --signer their-sign.pub", "by them, or 13"),
    ),
    "forget": (
        ("warp forget home.warp --keep-last 3 --keep-monthly 9 --dry-run", "look"),
        ("warp forget home.warp --keep-last 3 --keep-monthly 9 --compact", "do it"),
        ("warp forget home.warp --snapshot 2 --compact", "this one"),
    ),
    "compact": (
        ("warp compact home.warp --dry-run", ""),
        ("warp compact home.warp -p pass --slot-passphrase-file two", "two slots"),
    ),
    "key list": (("warp key list home.warp", ""),),
    "key add": (
        ("warp key add home.warp", "asks for both"),
        ("warp key add home.warp --recipient spare.pub", "a key made by keygen"),
    ),
    "key remove": (("warp key remove home.warp 1f3a9c02", "as `warp key list` shows it"),),
    "key keygen": (
        ("warp key keygen me.key > me.pub", "keep me.key, hand out me.pub"),
        ("warp key keygen sign.key --kind signing > sign.pub", ""),
    ),
    "send": (
        ("warp send holiday.mp4 photos", "prints a code and a ticket"),
        ("warp send work -x node_modules --no-code", "a ticket alone"),
        ("warp send home.warp", "an archive: what is new of it"),
        ("pg_dump db | warp send - --name db.sql", "from a pipe"),
        ("warp send photos --to nas", "there: `warp receive --listen`"),
    ),
    "serve": (
        ("warp serve dataset --limit 100MiB/s", "to everyone who has the ticket"),
        ("warp serve home.warp --for nas --port 4433", "to a saved machine"),
    ),
    "receive": (
        ("warp receive 7-apple-river-stone -C inbox", "by code, on one network"),
        ("warp receive -C inbox < ticket.txt", "by ticket, not in argv"),
        ("warp receive -C inbox --overwrite changed", "over what is there"),
        ("warp receive nas -o - | psql db", "from a saved machine"),
        ("warp receive --listen -C inbox", "here: `warp send --to`"),
    ),
    "sessions list": (("warp sessions list --json", "for programs"),),
    "sessions resume": (("warp sessions resume 443b688e", "with the options of before"),),
    "sessions discard": (
        ("warp sessions discard 443b688e", "by the start of its number"),
        ("warp sessions discard all", ""),
    ),
    "peers list": (("warp peers list", ""),),
    "peers add": (
        ("warp peers add nas KEY", "KEY: `warp peers me` there"),
        ("warp peers add nas KEY -a nas.example:4433", "and where it listens"),
    ),
    "peers remove": (("warp peers remove nas", ""),),
    "peers rename": (("warp peers rename nas attic", ""),),
    "peers me": (("warp peers me", "give it to the other machine"),),
    "doctor": (
        ("warp doctor -C inbox", "this machine, and the disk of inbox"),
        ("warp doctor - < ticket.txt", "and the way to who made it"),
        ("warp doctor nas.example:4433 --json", "for programs"),
    ),
    "bench cpu": (("warp bench cpu", ""),),
    "config list": (("warp config list", ""),),
    "config get": (("warp config get threads", ""),),
    "config set": (
        ("warp config set passphrase_file ~/.config/warp-portal/passphrase", ""),
        ("warp config set exclude node_modules .cache", "a list"),
    ),
    "config unset": (("warp config unset passphrase_file", ""),),
    "config path": (("warp config path", ""),),
    "completion": (('eval "$(warp completion bash)"', "in ~/.bashrc"),),
}


def examples(name: str) -> tuple[tuple[str, str], ...]:
    """Of a command, by its words after `warp`: what to type, and what it is for (may be empty)."""
    return _EXAMPLES[name]


def epilog(name: str) -> str:
    """The end of a command's help."""
    found = examples(name)
    width = max(len(line) for line, says in found if says or len(found) == 1)
    lines = (f"  {line:<{width}}   {says}".rstrip() for line, says in found)
    return "\n".join(("\b", "Examples:", *lines))
