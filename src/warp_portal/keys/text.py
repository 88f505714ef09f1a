"""Keys as one line of text, and as files.

    text = label ‖ ":" ‖ base32(key ‖ check), lower case, without padding; check = BLAKE3(label ‖ ":" ‖ key)[0..4]

Labels: `warp-recipient-x25519`, `warp-recipient-xwing`, `warp-identity-x25519`, `warp-identity-xwing`, `warp-signer`,
`warp-signing-key`, `warp-machine`, `warp-machine-key`. A key file holds lines of `# comment` and one line of text; a file with a secret is readable by its
owner alone. Reading ignores case and surrounding blanks.
"""

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Final

from warp_portal._native import blake3
from warp_portal.errors import NotFoundError, UsageError, naming
from warp_portal.secrecy import holds_private_key, refuse_private_key

CHECK_BYTES: Final = 4
MAX_FILE_BYTES: Final = 64 * 1024
SECRET_MODE: Final = 0o600
# What a key is for, by the beginning of its label, for those who gave it elsewhere.
_USES: Final = {
    "warp-recipient-": "--recipient",
    "warp-identity-": "--identity, and as --recipient for its public half",
    "warp-signing-key": "--sign, and as --signer for its public half",
    "warp-signer": "--signer",
    "warp-machine-key": "the machine that made it, and for no other",
    "warp-machine": "`warp peers add`",
}


def encode(label: str, key: bytes) -> str:
    """The text of a key."""
    check = _check(label, key)
    return f"{label}:{base64.b32encode(key + check).decode().rstrip('=').lower()}"


def decode(text: str) -> tuple[str, bytes]:
    """(label, key) of a text; raises UsageError without repeating the text, which may be a secret."""
    label, colon, body = text.strip().lower().partition(":")
    if not colon or not label.startswith("warp-") or not label.isascii():
        raise UsageError(
            "this is no key: the line of one begins with warp- and what it is for, like warp-recipient-xwing:…"
        )
    try:
        raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError):
        raise UsageError(
            f"the {label} is mistyped: it holds a letter or digit that none has, or is cut short"
        ) from None
    key, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
    if check != _check(label, key) or encode(label, key) != f"{label}:{body}":
        raise UsageError(f"the {label} is mistyped or cut short: its check does not match")
    return label, key


def decode_as(text: str, labels: dict[str, str]) -> tuple[str, bytes]:
    """(kind, key) of a text whose label is a key of `labels`; raises UsageError."""
    label, key = decode(text)
    if label not in labels:
        use = next((use for prefix, use in _USES.items() if label.startswith(prefix)), "something else")
        raise UsageError(f"expected {' or '.join(labels)}, not a {label}: that is for {use}")
    return labels[label], key


def read_line(path: str | os.PathLike[str]) -> str:
    """The line with the key in a key file. Raises NotFoundError, UsageError, OSError, none of which repeats a secret."""
    refuse_private_key(os.fsdecode(path))
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            content = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"no key file {os.fspath(path)}") from None
    lines = [line.strip() for line in content.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1:
        raise UsageError(f"{os.fspath(path)} holds {len(keys)} keys instead of one")
    return keys[0]


def read_secret_line(path: str | os.PathLike[str]) -> str:
    """`read_line` of a secret: refuses a file that others can read."""
    line = read_line(path)
    # Anything else is refused by whoever reads it, as what it is.
    if holds_private_key(line) and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise UsageError(f"{os.fspath(path)} holds a secret and is open to others: chmod 600 it")
    return line


def write_secret(path: str | os.PathLike[str], comments: list[str], line: str) -> None:
    """Write a key file (mode 0600) that must not exist yet. Raises UsageError, OSError."""
    content = "".join(f"# {comment}\n" for comment in comments) + line + "\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE)
    except FileExistsError:
        raise UsageError(
            f"{os.fspath(path)} exists: a key is never overwritten (a key file also holds its public key, in a line that begins with #)"
        ) from None
    try:
        with naming(os.fspath(path)), open(fd, "w", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
    except OSError:
        os.unlink(path)  # half a key would keep the whole one from this place
        raise


def line_of(text_or_path: str | os.PathLike[str], prefix: str) -> str:
    """The key line itself, if it begins with `prefix`, or else the one in the file of this name."""
    if isinstance(text_or_path, str) and text_or_path.strip().lower().startswith(prefix):
        return text_or_path
    return read_line(Path(text_or_path))


def _check(label: str, key: bytes) -> bytes:
    return blake3(f"{label}:".encode() + key)[:CHECK_BYTES]
