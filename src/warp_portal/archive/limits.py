"""Numbers of the `.warp` format (docs/format.md): sizes of its parts and the bounds that readers check before they allocate."""

from typing import Final

ALIGNMENT: Final = 4096  # commits start at multiples of this, so that a lost end is found by scanning
PAGE_RECORDS: Final = 4096
DIGEST_BYTES: Final = 32
ID_BYTES: Final = 24
UUID_BYTES: Final = 16
ZERO_DIGEST: Final = bytes(DIGEST_BYTES)

MAX_PAGE_RAW: Final = 256 * 1024 * 1024
MAX_TOC: Final = 1024 * 1024 * 1024
MAX_PATH: Final = 65535
MAX_SLOT_COPY: Final = 32768
MAX_PASSPHRASE_SLOTS: Final = 8

SUITE_PLAIN: Final = 0
SUITE_CHACHA20_POLY1305: Final = 1
SUITE_AES_256_GCM: Final = 2

KIND_LOCATOR: Final = 1
KIND_CHUNK: Final = 2
KIND_FRAGMENT: Final = 3
KIND_TABLE: Final = 4
KINDS: Final = (KIND_LOCATOR, KIND_CHUNK, KIND_FRAGMENT, KIND_TABLE)
KIND_NAMES: Final = ("", "locator", "chunk", "fragment", "file-table")
