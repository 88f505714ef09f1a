"""Targets: what people write, and names that come from archives: keys, settings, sizes, patterns."""

import contextlib
from functools import cache
from pathlib import Path

from tests.fuzz import sections
from warp_portal import config
from warp_portal._native import Matcher
from warp_portal.archive.options import checked_patterns
from warp_portal.cli.text import defanged, path_fields, printable, printable_all
from warp_portal.errors import WarpPortalError
from warp_portal.keys import Identity, Machine, MachineKey, Recipient, Signer, SigningKey, load_recipient, load_signer
from warp_portal.keys.text import decode, encode
from warp_portal.primitives.compression import policy
from warp_portal.units import format_bytes, format_duration, parse_bytes, parse_rate, parse_span


def _text(data: bytes) -> str:
    """As the arguments of a process come in: bytes that are no UTF-8 are kept."""
    return data.decode("utf-8", "surrogateescape")


def key_text(data: bytes) -> None:
    """A key as one line, its check made right if it is written in base32."""
    text = _text(data)
    for line in (text, _checked(text)):
        for kind in (Recipient, Signer, Machine):
            try:
                public = kind.parse(line)
            except WarpPortalError:
                continue
            assert kind.parse(str(public)) == public
            _use(public)
        for secret in (Identity, SigningKey, MachineKey):
            try:
                key = secret.parse(line)
            except WarpPortalError:
                continue
            assert line.strip().lower() not in repr(key)


def _checked(text: str) -> str:
    """The text with the check that its key must have."""
    import base64
    import binascii

    label, _, body = text.partition(":")
    try:
        raw = base64.b32decode(body.strip().upper() + "=" * (-len(body.strip()) % 8))
        line = encode(label, raw[:-4])
        assert decode(line) == (label.strip().lower(), raw[:-4]) or label != label.strip().lower()
    except (binascii.Error, ValueError, WarpPortalError):
        return text
    return line


def _use(public: Recipient | Signer | Machine) -> None:
    """A key may be of the right length and no point or lattice key: then sealing and verifying say so."""
    try:
        if isinstance(public, Recipient):
            public.seal(b"k" * 32, b"info")
        else:
            public.verify(b"s" * 64, b"message")
    except WarpPortalError:
        return
    assert isinstance(public, Recipient)


def key_file(data: bytes) -> None:
    """A file that should hold a key."""
    path = _scratch() / "key"
    path.write_bytes(data)
    for load in (load_recipient, load_signer, Identity.load, SigningKey.load):
        try:
            load(path)
        except WarpPortalError:
            continue


def config_file(data: bytes) -> None:
    """A settings file, the user's or one that came with a tree."""
    path = _scratch() / "config.toml"
    path.write_bytes(data)
    for trusted in (True, False):
        try:
            found = config.load(files=(config.ConfigFile(str(path), trusted),), environ={})
        except WarpPortalError:
            continue
        assert 0 <= found.config.threads <= config.MAX_THREADS
        assert found.config.memory >= 0
        harmful = [name for name, item in config.SETTINGS.items() if not item["harmless"]]
        assert trusted or all(found.origin[name] == "default" for name in harmful)


def setting(data: bytes) -> None:
    """A line `name=value`: as a variable, and as `warp config set` takes it."""
    name, _, value = _text(data).partition("=")
    variable = "WARP_" + name.upper()
    uses = (
        lambda: config.load(files=(), environ={variable: value}).origin,
        lambda: config.load(files=(), flags={name: value}, environ={}).origin,
        lambda: config.parse(name, value, "it"),
        lambda: config.parse(name, value.split(":"), "it"),
        lambda: config.mistyped_variables({variable: value}),
    )
    for use in uses:
        with contextlib.suppress(WarpPortalError):
            use()


def units(data: bytes) -> None:
    """Sizes, rates and spans of time."""
    text = _text(data)
    try:
        size = parse_bytes(text)
    except WarpPortalError:
        pass
    else:
        assert 0 <= size < 1 << 63
        assert parse_bytes(str(size)) == size
        assert format_bytes(size)
    with contextlib.suppress(WarpPortalError):
        assert 0 <= parse_rate(text) < 1 << 63
    try:
        span = parse_span(text)
    except WarpPortalError:
        return
    assert span > 0
    assert format_duration(span)


def compression(data: bytes) -> None:
    """The name of a policy."""
    try:
        chosen = policy(_text(data))
    except WarpPortalError:
        return
    assert all(0 <= codec <= 3 and -7 <= level <= 22 for _, codec, level in chosen.rows)
    assert policy(chosen.name) == chosen


def patterns(data: bytes) -> None:
    """Patterns, a line each, and a path to hold against them."""
    lines, path = sections.split_into(data, 2)
    try:
        matcher = Matcher(checked_patterns(_text(lines).split("\n")))
    except WarpPortalError:
        return
    for is_directory in (True, False):
        assert matcher.matches(path, is_directory) in (True, False)


def printable_name(data: bytes) -> None:
    """A name from an archive on its way to a terminal: no control character gets there, and names stay apart."""
    shown = printable(data)
    assert shown.isprintable() or all(not _steers(one) for one in shown)
    assert not any(_steers(one) for one in defanged(_text(data)) if one != "\n")
    assert printable_all(data.split(b"\n")) == [printable(name) for name in data.split(b"\n")]
    fields = path_fields(data)
    assert ("path_b64" in fields) != (fields["path"].encode() == data)


def _steers(one: str) -> bool:
    """Whether a terminal would do something else with it than to show it."""
    import unicodedata

    return unicodedata.category(one)[0] == "C" or (unicodedata.category(one)[0] == "Z" and one != " ")


@cache
def _scratch() -> Path:
    """A directory for the files that are read."""
    return sections.scratch()
