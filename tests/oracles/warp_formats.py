"""The small parts of the `.warp` format, written from docs/format.md: hashes, the Merkle tree, payloads, columns.

Slow and simple on purpose, over published packages; nothing of warp_portal is imported.
"""

import struct
from typing import Any

import lz4.block
import msgpack
import zstandard
from blake3 import blake3

ZERO = bytes(32)
TABLE_KEYS = [
    "n",
    "ps",
    "pb",
    "k",
    "m",
    "u",
    "g",
    "s",
    "ms",
    "mn",
    "cs",
    "cn",
    "i",
    "f",
    "ll",
    "lb",
    "r",
    "x",
    "xd",
    "e",
    "rn",
    "rr",
]


class MalformedError(Exception):
    """The archive breaks a rule of the page."""


def need(condition: object, rule: str) -> None:
    if not condition:
        raise MalformedError(rule)


def derive(purpose: str, secret: bytes) -> bytes:
    return blake3(secret, derive_key_context=f"warp-portal 2026-11 {purpose} v1").digest()


def keyed(key: bytes, data: bytes, length: int = 32) -> bytes:
    return blake3(data, key=key).digest(length=length)


# §9 Merkle tree


def node(left: bytes, right: bytes) -> bytes:
    return blake3(b"\x01" + left + right).digest()


def leaf(cid: bytes, stored_length: int) -> bytes:
    return blake3(b"\x00" + cid + struct.pack("<I", stored_length)).digest()


def merkle_root(leaves: list[bytes]) -> bytes:
    if len(leaves) <= 1:
        return leaves[0] if leaves else ZERO
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node(merkle_root(leaves[:split]), merkle_root(leaves[split:]))


def frontier(leaves: list[bytes]) -> list[bytes]:
    roots, start = [], 0
    for bit in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> bit & 1:
            roots.append(merkle_root(leaves[start : start + (1 << bit)]))
            start += 1 << bit
    return roots


# §5 Payloads


def decode_payload(payload: bytes, limit: int) -> tuple[int, bytes]:
    need(len(payload) >= 20, "payload head")
    codec, zero, zero2, raw_length, stored_length = struct.unpack_from("<BBHQQ", payload)
    stored = payload[20:]
    need(zero == 0 and zero2 == 0 and stored_length == len(stored) and raw_length <= limit, "payload head")
    if codec == 0:
        raw = stored
    elif codec == 1:
        need(zstandard.frame_content_size(stored) == raw_length, "zstd content size")
        raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=raw_length)
    elif codec == 2:
        raw = lz4.block.decompress(stored, uncompressed_size=raw_length)
    elif codec == 3:
        raw = decode_lz4_blocks(stored, raw_length)
    else:
        raise MalformedError("codec")
    need(len(raw) == raw_length, "raw length")
    return codec, raw


def decode_lz4_blocks(stored: bytes, raw_length: int) -> bytes:
    (count,) = struct.unpack_from("<I", stored)
    need(count == -(-raw_length // 65536), "number of blocks")
    lengths = struct.unpack_from(f"<{count}I", stored, 4)
    at, raw = 4 + 4 * count, b""
    for length in lengths:
        block = stored[at : at + (length & 0x7FFFFFFF)]
        at += len(block)
        size = min(65536, raw_length - len(raw))
        raw += block if length >> 31 else lz4.block.decompress(block, uncompressed_size=size)
    need(at == len(stored), "length of the blocks")
    return raw


# §7 Columns


class Varints:
    """A column of LEB128 numbers, taken one by one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self) -> int:
        value = shift = 0
        while True:
            need(self.at < len(self.data), "varint")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                need(value < 1 << 64 and (byte or shift == 7), "varint form")
                return value

    def take_signed(self) -> int:
        value = self.take()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def rest_is_empty(self) -> None:
        need(self.at == len(self.data), "column length")


def deltas(data: bytes, count: int) -> list[int]:
    column, value, values = Varints(data), 0, list[int]()
    for _ in range(count):
        value = (value + column.take_signed()) % (1 << 64)
        values.append(value)
    column.rest_is_empty()
    return values


def signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def decode_table(raw: bytes) -> list[dict[str, Any]]:
    table = msgpack.unpackb(raw)
    need(list(table) == TABLE_KEYS, "keys of a file-table page")
    n = table["n"]
    numbers = {key: deltas(table[key], n) for key in ("m", "u", "g", "s", "ms", "cs", "i")}
    plain = {key: Varints(table[key]) for key in ("ps", "mn", "cn", "f", "ll", "r", "x", "e", "rn", "rr")}
    entries: list[dict[str, Any]] = []
    path, rests, links, run_end = b"", 0, 0, 0
    for index in range(n):
        shared, length = plain["ps"].take(), plain["ps"].take()
        need(shared <= len(path), "shared prefix")
        path = path[:shared] + table["pb"][rests : rests + length]
        rests += length
        kind, flags = table["k"][index], plain["f"].take()
        entry: dict[str, Any] = {"path": path, "kind": kind, "flags": flags, "link": b"", "rdev": 0, "extents": None}
        for key, name in (("m", "mode"), ("u", "uid"), ("g", "gid"), ("s", "size"), ("i", "inode")):
            entry[name] = numbers[key][index]
        entry["mtime"] = signed(numbers["ms"][index]) * 10**9 + plain["mn"].take()
        entry["ctime"] = signed(numbers["cs"][index]) * 10**9 + plain["cn"].take()
        if kind in (2, 3):
            length = plain["ll"].take()
            entry["link"] = table["lb"][links : links + length]
            links += length
        if kind in (4, 5):
            entry["rdev"] = (plain["r"].take(), plain["r"].take())
        which = plain["x"].take()
        entry["xattrs"] = [tuple(pair) for pair in table["xd"][which - 1]] if which else []
        if flags & 2:
            entry["extents"], end = [], 0
            for _ in range(plain["e"].take()):
                start = end + plain["e"].take()
                end = start + plain["e"].take()
                entry["extents"].append((start, end - start))
        entry["runs"] = []
        for _ in range(plain["rn"].take()):
            first, count = run_end + plain["rr"].take_signed(), plain["rr"].take()
            run_end = first + count
            entry["runs"].append((first, count))
        parts = path.split(b"/")
        need(path == b"" or (not {b"", b".", b".."} & set(parts) and b"\0" not in path), "path")
        entries.append(entry)
    for column in plain.values():
        column.rest_is_empty()
    need(rests == len(table["pb"]) and links == len(table["lb"]), "joined columns")
    return entries
