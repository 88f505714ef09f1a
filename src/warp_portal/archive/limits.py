"""Numbers of the `.warp` format (docs/format.md): sizes of its parts and the bounds that readers check before they allocate."""

from typing import Final

ALIGNMENT: Final = 4096  # commits start at multiples of this, so that a lost end is found by scanning
PAGE_RECORDS: Final = 4096
DIGEST_BYTES: Final = 32
ID_BYTES: Final = 24
UUID_BYTES: Final = 16
ZERO_DIGEST: Final = bytes(DIGEST_BYTES)

# Raw bytes of a page and of the sealed TOC. The native core refuses what is compressed beyond 4 MiB (a page) or 16 MiB (a
# TOC), so these bound what is stored as it is: memory for it is a small multiple of what lies in the file.
MAX_PAGE_RAW: Final = 1024 * 1024 * 1024
MAX_TOC: Final = 1024 * 1024 * 1024
# Pages that one TOC may list: so many, and one more for each KiB of the file before it. An honest page of a thousand entries
# or more is longer; the few short ones at the end of a run are covered by the first.
MAX_PAGES_BASE: Final = 16384
PAGE_SHARE: Final = 1024
# MessagePack values and keys in one map: an object of some 64 bytes each when unpacked. In a page the names and values of
# extended attributes take 11 bytes at least, and a page closes behind 1 MiB; the TOC may have two more a page.
MAX_ITEMS: Final = 327_680
MAX_TOC_ITEMS: Final = 1 << 19
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
