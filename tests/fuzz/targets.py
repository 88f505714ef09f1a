"""The Python targets: each takes bytes and raises something else than a WarpPortalError only if there is a defect.

A parser answers with a value or a typed error. Where there is a serializer, a value gives back the bytes it was read from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.fuzz import chains, proofs, protocol, sessions, structures, texts, transport, whole

RUST: Final = (
    "rust-baseline", "rust-chunk", "rust-columns", "rust-cutter", "rust-cuts", "rust-frame", "rust-index", "rust-index-missing",
    "rust-index-pages", "rust-journal", "rust-listing", "rust-lz4", "rust-lz4-blocks", "rust-matcher", "rust-merkle",
    "rust-paths", "rust-payload", "rust-seal", "rust-stored-pages", "rust-unpack", "rust-zstd",
)  # fmt: skip
"""As in rust/fuzz/src/lib.rs; a test compares the two."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser with its check; `in_sections`: its input is a list of parts, which are changed one by one."""

    name: str
    run: Callable[[bytes], None]
    in_sections: bool = False


PYTHON: Final = {
    target.name: target
    for target in (
        Target("archive", whole.archive, in_sections=True),
        Target("arrival", chains.arrival, in_sections=True),
        Target("cbor", protocol.deterministic_cbor),
        Target("commit", structures.commit),
        Target("compression", texts.compression),
        Target("config", texts.config_file),
        Target("header", structures.header),
        Target("index-page", structures.index_page),
        Target("key-file", texts.key_file),
        Target("key-text", texts.key_text),
        Target("message", protocol.message),
        Target("messagepack", structures.messagepack),
        Target("patterns", texts.patterns, in_sections=True),
        Target("peers", transport.peers_file),
        Target("printable", texts.printable_name),
        Target("proof", proofs.proof, in_sections=True),
        Target("ranges", protocol.ranges),
        Target("rate-limit", transport.rate_limit),
        Target("sealed-toc", structures.sealed_toc),
        Target("session", sessions.session, in_sections=True),
        Target("setting", texts.setting),
        Target("session-record", transport.session_record),
        Target("short-code", protocol.short_code),
        Target("slots", structures.slots),
        Target("state", structures.state_record),
        Target("store-payload", structures.store_payload),
        Target("table", structures.table),
        Target("ticket", protocol.ticket),
        Target("toc", structures.toc),
        Target("units", texts.units),
    )
}
