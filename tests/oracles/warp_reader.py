"""A second reader of `.warp` archives, written from docs/format.md alone.

Plain Python over published packages; nothing of warp_portal is imported. It checks every digest, MAC and rule that the page
states on the way to an entry's bytes, keeps everything in memory, and is meant to be read beside the page.

    archive = WarpReader(path.read_bytes(), passphrase="…")
    for entry in archive.entries: print(entry["path"], archive.content(entry))
"""

import hashlib
import struct
import unicodedata
from collections.abc import Iterator
from typing import Any

import msgpack
from blake3 import blake3
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tests.oracles.warp_formats import (
    ZERO,
    MalformedError,
    decode_payload,
    decode_table,
    derive,
    frontier,
    keyed,
    leaf,
    merkle_root,
    need,
)

SEALED_KEYS = [
    "fragments",
    "entries",
    "bytes",
    "dp",
    "first",
    "paths",
    "signer",
    "time",
    "arguments",
    "owners",
    "position",
]


class WarpReader:
    """An archive in memory, every rule of the page checked."""

    def __init__(
        self,
        data: bytes,
        archive_key: bytes | None = None,
        passphrase: str | None = None,
        identity: bytes | None = None,
    ) -> None:
        self.data = data
        self.read_header()
        self.read_commit(len(data) - 256)
        need(self.flags & 2, "the last commit is no snapshot")
        self.read_toc()
        self.unlock(archive_key, passphrase, identity)
        self.check_keyed()
        self.read_index()
        self.read_tables()

    # §2
    def read_header(self) -> None:
        raw = self.header = self.data[:256]
        need(raw[:8] == b"\x89WARP\r\n\x1a", "magic")
        major, _, length, incompatible = struct.unpack_from("<HHIQ", raw, 8)
        need(major == 1 and length == 256 and incompatible in (0, 1), "version or features")
        self.uuid, self.encrypted = raw[40:56], incompatible == 1
        hash_id, self.suite, kdf, cutter, normalization, window = raw[56:62]
        need(hash_id == 1 and kdf == 1 and self.suite in (0, 1, 2), "algorithms")
        need((self.suite != 0) == self.encrypted, "suite")
        need((cutter, normalization, window) in ((1, 2, 48), (2, 0, 0)), "cutter")
        slots_at, self.slot_length = struct.unpack_from("<QI", raw, 64)
        need(slots_at == 256 and self.slot_length % 256 == 0 and self.slot_length <= 32768, "slot area")
        need((self.slot_length > 0) == self.encrypted, "slot area")
        fragment, chunk = struct.unpack_from("<3I", raw, 80), struct.unpack_from("<3I", raw, 92)
        for low, mean, high in (fragment, chunk):
            need(mean & mean - 1 == 0 and 4096 <= mean <= 1 << 24 and 64 <= low <= mean <= high, "sizes")
        need(fragment[2] <= chunk[2] // 2 and chunk[2] <= 1 << 26, "sizes")
        self.chunk_max, self.commitment = chunk[2], raw[112:144]
        (first_segment,) = struct.unpack_from("<Q", raw, 152)
        need(first_segment == 256 + 2 * self.slot_length, "first segment")
        need(not any(raw[62:64] + raw[76:80] + raw[104:112] + raw[160:224]), "zero bytes")

    # §9
    def read_commit(self, offset: int) -> None:
        raw = self.commit = self.data[offset : offset + 256]
        need(offset % 4096 == 0 and raw[:8] == b"WCOMMIT1", "commit")
        need(blake3(raw[:240]).digest()[:16] == raw[240:], "checksum of the commit")
        self.sequence, self.previous, own, self.toc_at, self.toc_length = struct.unpack_from("<5Q", raw, 8)
        need(own == offset, "own offset")
        self.toc_digest = raw[48:80]
        (self.chunk_count,) = struct.unpack_from("<Q", raw, 80)
        self.root = raw[88:120]
        self.stored_bytes, self.flags, self.time = struct.unpack_from("<QQq", raw, 120)
        need(self.flags & 3 in (1, 2) and self.flags < 8, "flags")
        padding = self.data[self.toc_at + self.toc_length : offset]
        need(len(padding) < 4096 and not any(padding), "padding")

    # §8
    def read_toc(self) -> None:
        toc = self.data[self.toc_at : self.toc_at + self.toc_length]
        need(blake3(toc).digest() == self.toc_digest, "digest of the TOC")
        (clear_length,) = struct.unpack_from("<I", toc)
        clear = toc[4 : 4 + clear_length]
        self.toc_dp, self.toc_sealed = toc[4 + clear_length :][:32], toc[4 + clear_length + 32 :]
        magic, version, active = struct.unpack_from("<4sHH", clear)
        need(magic == b"WTOC" and version == 1 and active <= 1, "TOC")
        need(clear[8:40] == blake3(self.header).digest(), "digest of the header")
        self.slots = self.data[256 + active * self.slot_length :][: self.slot_length]
        other = self.data[256 + (1 - active) * self.slot_length :][: self.slot_length]
        need(clear[40:72] == (blake3(self.slots).digest() if self.encrypted else ZERO), "digest of the slots")
        need(not any(other) or not self.encrypted, "unused slot copy")
        need((clear[72:104] == ZERO) == (self.previous == 0), "digest of the previous commit")
        if self.previous:
            need(clear[72:104] == blake3(self.data[self.previous :][:256]).digest(), "previous commit")
        chunks, nodes, pages = struct.unpack_from("<QII", clear, 104)
        need(chunks == self.chunk_count and nodes == chunks.bit_count(), "TOC counts")
        self.frontier = [clear[120 + 32 * i :][:32] for i in range(nodes)]
        at = 120 + 32 * nodes
        self.pages: list[dict[str, Any]] = []
        for _ in range(pages):
            kind, zero, zero2, records, offset, length = struct.unpack_from("<BBHIQQ", clear, at)
            need(kind in (1, 2, 3, 4) and zero == zero2 == 0 and 1 <= records <= 4096, "page list")
            root = clear[at + 56 : at + 88] if kind == 1 else None
            page = {"kind": kind, "records": records, "digest": clear[at + 24 : at + 56], "root": root}
            page["stored"] = self.data[offset : offset + length]
            need(len(page["stored"]) == length and blake3(page["stored"]).digest() == page["digest"], "page digest")
            self.pages.append(page)
            at += 88 if kind == 1 else 56
        need(at == len(clear) and [p["kind"] for p in self.pages] == sorted(p["kind"] for p in self.pages), "page list")

    # §3, §4
    def unlock(self, archive_key: bytes | None, passphrase: str | None, identity: bytes | None) -> None:
        if not self.encrypted:
            self.secret = ZERO
            return
        candidates = [archive_key] if archive_key else list(self.keys_from_slots(passphrase, identity))
        for key in candidates:
            secret = derive("archive scope", key)
            if derive("key commitment", secret) == self.commitment:
                self.secret = secret
                return
        raise MalformedError("no key opens the archive")

    def keys_from_slots(self, passphrase: str | None, identity: bytes | None) -> Iterator[bytes]:
        magic, _, count, zero, used = struct.unpack_from("<4sIHHI", self.slots)
        need(magic == b"WSLT" and zero == 0, "slots")
        at = 16
        for _ in range(count):
            kind, zero, length = struct.unpack_from("<BBH", self.slots, at)
            slot_id, body = self.slots[at + 4 : at + 12], self.slots[at + 12 : at + 12 + length]
            at += 12 + length
            if kind == 1 and passphrase is not None:
                yield from self.key_from_passphrase(slot_id, body, passphrase)
            if kind == 2 and identity is not None:
                yield from self.key_from_identity(slot_id, body, identity)
        need(at == used, "length of the slots")

    def key_from_passphrase(self, slot_id: bytes, body: bytes, passphrase: str) -> Iterator[bytes]:
        salt, memory, passes, lanes = struct.unpack_from("<32sIII", body)
        commitment, wrapped = body[44:76], body[76:]
        need(65536 <= memory <= 1 << 20 and 2 <= passes <= 16 and 1 <= lanes <= 16, "cost")
        kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        pk = kdf.derive(unicodedata.normalize("NFC", passphrase).encode())
        info = self.uuid + b"\x01" + slot_id + salt + struct.pack("<III", memory, passes, lanes)
        okm = keyed(pk, b"warp.slot.v1\0\0\0\0" + struct.pack("<I", len(info)) + info, 76)
        if okm[44:] == commitment:
            yield ChaCha20Poly1305(okm[:32]).decrypt(okm[32:44], wrapped, info)

    def key_from_identity(self, slot_id: bytes, body: bytes, identity: bytes) -> Iterator[bytes]:
        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
        info = b"warp-portal slot v1\0" + self.uuid + b"\x02" + slot_id
        key = suite.decrypt(body[40:], X25519PrivateKey.from_private_bytes(identity), info)
        need(keyed(derive("slot commitment", key), info) == body[8:40], "slot commitment")
        yield key

    def check_keyed(self) -> None:
        need(keyed(derive("header mac", self.secret), self.header[:224]) == self.header[224:], "header MAC")
        mac = keyed(derive("commit mac", self.secret), self.commit[:224])[:16] if self.encrypted else bytes(16)
        need(self.commit[224:240] == mac, "commit MAC")
        if self.encrypted:
            (used,) = struct.unpack_from("<I", self.slots, 12)
            need(self.slots[used : used + 32] == keyed(derive("slot mac", self.secret), self.slots[:used]), "slot MAC")
            need(not any(self.slots[used + 32 :]), "zeros after the slots")
        toc = self.toc = msgpack.unpackb(
            self.open("toc", self.toc_sealed, self.toc_dp, 1 << 30)[1], strict_map_key=False
        )
        need(list(toc) == SEALED_KEYS, "keys of the TOC")
        if self.flags & 4:
            public = toc["signer"]
            need(blake3(public).digest()[:16] == self.commit[208:224], "signer")
            message = b"warp-commit-v1\0\0" + self.uuid + self.commit[:144]
            Ed25519PublicKey.from_public_bytes(public).verify(self.commit[144:208], message)
        else:
            need(toc["signer"] == b"" and not any(self.commit[144:224]), "unsigned")

    # §5
    def open(self, kind: str, stored: bytes, dp: bytes, limit: int) -> tuple[int, bytes]:
        if not self.encrypted:
            return decode_payload(stored, limit)
        header, commit = stored[:4], stored[4:36]
        need(header == bytes([self.suite, 0, 0, 0]), "sealed header")
        okm = keyed(derive(f"{kind} key", self.secret), header + dp, 76)
        need(okm[44:] == commit, "key commitment of an object")
        cipher = (ChaCha20Poly1305 if self.suite == 1 else AESGCM)(okm[:32])
        payload = cipher.decrypt(okm[32:44], stored[36:], header + commit)
        need(keyed(derive(f"{kind} payload digest", self.secret), payload) == dp, "payload digest")
        return decode_payload(payload, limit)

    # §6
    def read_index(self) -> None:
        dps = [self.toc["dp"][i : i + 32] for i in range(0, len(self.toc["dp"]), 32)]
        at = {1: 0, 2: 0, 3: 0}
        self.chunks: list[dict[str, Any]] = []
        self.fragments: list[tuple[int, bytes]] = []
        self.raw_tables: list[tuple[dict[str, Any], bytes]] = []
        firsts, leaves = iter(self.toc["first"]), list[bytes]()
        for page in self.pages:
            kind = page["kind"]
            if kind == 1:
                codec, raw = decode_payload(page["stored"], 1 << 30)
                need(codec == 0, "codec of a locator page")
            else:
                codec, raw = self.open("page", page["stored"], dps.pop(0), 1 << 30)
            if kind == 4:
                self.raw_tables.append((page, raw))
                continue
            first, count, zero = struct.unpack_from("<QII", raw)
            need((first, count, zero) == (at[kind], page["records"], 0), "index page")
            at[kind] += count
            body = raw[16:]
            if kind == 1:
                need(len(body) == 44 * count, "locator page")
                offsets, lengths = (
                    struct.unpack_from(f"<{count}Q", body),
                    struct.unpack_from(f"<{count}I", body, 8 * count),
                )
                cids = [body[12 * count + 32 * i :][:32] for i in range(count)]
                page_leaves = [leaf(*pair) for pair in zip(cids, lengths, strict=True)]
                need(merkle_root(page_leaves) == page["root"], "root of a locator page")
                leaves += page_leaves
                self.chunks += [
                    {"at": o, "length": n, "cid": c} for o, n, c in zip(offsets, lengths, cids, strict=True)
                ]
            elif kind == 2:
                width = 41 if self.encrypted else 9
                need(len(body) == width * count, "chunk page")
                need(next(firsts) == sum(c["fragments"] for c in self.chunks[:first]), "first fragment")
                raws, numbers = (
                    struct.unpack_from(f"<{count}I", body),
                    struct.unpack_from(f"<{count}I", body, 4 * count),
                )
                for i in range(count):
                    dp = body[9 * count + 32 * i :][:32]
                    self.chunks[first + i] |= {
                        "raw": raws[i],
                        "fragments": numbers[i],
                        "codec": body[8 * count + i],
                        "dp": dp,
                    }
            else:
                need(len(body) == 28 * count, "fragment page")
                lengths = struct.unpack_from(f"<{count}I", body)
                self.fragments += [(lengths[i], body[4 * count + 24 * i :][:24]) for i in range(count)]
        need(at[1] == at[2] == self.chunk_count and at[3] == self.toc["fragments"], "numbers of records")
        need(merkle_root(leaves) == self.root and frontier(leaves) == self.frontier, "Merkle root")
        need(sum(c["length"] for c in self.chunks) == self.stored_bytes, "stored bytes")
        self.place_fragments()

    def place_fragments(self) -> None:
        """Every fragment's chunk and offset."""
        self.places: list[tuple[int, int]] = []
        ordinal = 0
        for number, chunk in enumerate(self.chunks):
            offset = 0
            for length, _ in self.fragments[ordinal : ordinal + chunk["fragments"]]:
                self.places.append((number, offset))
                offset += length
            need(offset == chunk["raw"] <= self.chunk_max, "raw length of a chunk")
            ordinal += chunk["fragments"]
        need(ordinal == len(self.fragments), "number of fragments")

    # §7
    def read_tables(self) -> None:
        self.entries: list[dict[str, Any]] = []
        for (page, raw), first_path in zip(self.raw_tables, self.toc["paths"], strict=True):
            table = decode_table(raw)
            need(len(table) == page["records"] and table[0]["path"] == first_path, "file-table page")
            # §12: a page that was written anew ends where it did, though it may be shorter now.
            if "compacted" not in self.toc["arguments"]:
                self.check_page_end(table, raw, last=page is self.pages[-1])
            self.entries += table
        keys = [tuple(e["path"].split(b"/")) if e["path"] else () for e in self.entries]
        need(keys == sorted(keys) and len(set(keys)) == len(keys), "order of the entries")
        need(len(self.entries) == self.toc["entries"], "number of entries")

    @staticmethod
    def check_page_end(table: list[dict[str, Any]], raw: bytes, last: bool) -> None:
        """Where pages close; the rule on raw size is not checked, for it would need the page's growth."""

        def closes(count: int, path: bytes) -> bool:
            mask = int.from_bytes(blake3(path).digest()[:2], "little") & 1023
            return count >= 4096 or (count >= 1024 and mask == 0)

        need(not any(closes(i + 1, e["path"]) for i, e in enumerate(table[:-1])), "a page closes late")
        large = len(raw) > 1 << 20 or sum(len(entry["path"]) for entry in table) > 4 << 20
        need(last or closes(len(table), table[-1]["path"]) or large, "a page closes early")

    def chunk(self, number: int) -> bytes:
        chunk = self.chunks[number]
        stored = self.data[chunk["at"] : chunk["at"] + chunk["length"]]
        need(blake3(stored).digest() == chunk["cid"], "cid")
        codec, raw = self.open("chunk", stored, chunk["dp"], self.chunk_max)
        need(codec == chunk["codec"] and len(raw) == chunk["raw"], "chunk")
        return raw

    def content(self, entry: dict[str, Any]) -> bytes:
        """The bytes of a file, holes filled with zeros, every fragment checked by its id."""
        fragment_key, data, cached = derive("fragment id", self.secret), bytearray(), (-1, b"")
        for first, count in entry["runs"]:
            for ordinal in range(first, first + count):
                number, offset = self.places[ordinal]
                if cached[0] != number:
                    cached = (number, self.chunk(number))
                length, fragment_id = self.fragments[ordinal]
                fragment = cached[1][offset : offset + length]
                need(keyed(fragment_key, fragment)[:24] == fragment_id, "fragment id")
                data += fragment
        if entry["extents"] is None:
            need(len(data) == entry["size"], "size")
            return bytes(data)
        content, at = bytearray(entry["size"]), 0
        for offset, length in entry["extents"]:
            need(offset + length <= entry["size"], "extent")
            content[offset : offset + length] = data[at : at + length]
            at += length
        need(at == len(data), "extents")
        return bytes(content)

    def digest(self) -> str:
        """One digest over all entries and contents, for comparisons."""
        total = hashlib.sha256()
        for entry in self.entries:
            total.update(repr((entry["path"], entry["kind"], entry["mode"], entry["link"], entry["size"])).encode())
            total.update(self.content(entry) if entry["kind"] == 0 else b"")
        return total.hexdigest()
