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
# MessagePack values and keys in one map: an object of some 64 bytes each when unpacked. A page whose single entry is long
# has few of them; the TOC may have two more a page.
MAX_ITEMS: Final = 1 << 20
MAX_TOC_ITEMS: Final = 1 << 19
# Raw bytes of a sealed TOC: what does not grow with the archive, and what a page adds (dp, first fragment, first path).
MAX_TOC_BASE: Final = 20 * 1024 * 1024
MAX_TOC_PER_PAGE: Final = 64 + 65536
MAX_ARGUMENTS: Final = 8 * 1024 * 1024
MAX_ARGUMENT_ITEMS: Final = 1 << 18
MAX_OWNERS: Final = 1 << 14
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
