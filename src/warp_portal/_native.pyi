"""The native core: it moves bytes in batches and decides nothing.

Crossings per second in steady state are noted per class; buffers are `bytes`-like, paths are raw bytes,
times are nanoseconds. Errors: `FormatError`, `IntegrityError`, `UsageError` from `warp_portal.errors`,
`OSError` with errno from the system, `CancelledError` after `abort()`; between machines `UnreachableError`,
`IdentityError`, `ProtocolError`, `ClosedError`.
"""

from collections.abc import Sequence
from typing import TypeAlias, final

from typing_extensions import Buffer

_Spans: TypeAlias = list[tuple[int, int]]

VERSION: str
OBJECT_CHUNK: int
OBJECT_PAGE: int
OBJECT_TOC: int

def blake3(data: Buffer, /, *, key: Buffer | None = None, context: str | None = None, length: int = 32) -> bytes:
    """BLAKE3 in plain, keyed (`key`, 32 bytes) or derive-key (`context`) mode, `length` bytes of output."""

def merkle_leaves(cids: Buffer, stored_lengths: Buffer) -> bytes:
    """Leaf hashes (32 bytes each) of chunks given as joined cids and u32 little-endian lengths."""

def merkle_root(leaves: Buffer) -> bytes:
    """RFC 6962-shaped root of joined leaf hashes; 32 zero bytes for none."""

@final
class Frontier:
    """The O(log n) right edge of a Merkle tree: append leaves, know the root. Once a batch."""
    def __new__(cls, size: int = 0, nodes: Buffer = b"") -> Frontier: ...
    @property
    def size(self) -> int: ...
    @property
    def hashed(self) -> int:
        """Interior nodes hashed so far by `append`."""
    def append(self, leaves: Buffer) -> None: ...
    def nodes(self) -> bytes: ...
    def root(self) -> bytes: ...

@final
class ScopeKeys:
    """Every key of one scope (docs/format.md §4); never shows them. `None` = plain archive. A few calls a page."""
    def __new__(cls, archive_key: Buffer | None, suite: int) -> ScopeKeys: ...
    @property
    def suite(self) -> int: ...
    def commitment(self) -> bytes: ...
    def header_mac(self, data: Buffer) -> bytes: ...
    def slot_mac(self, data: Buffer) -> bytes: ...
    def commit_mac(self, data: Buffer) -> bytes: ...
    def seal(self, kind: int, raw: Buffer, codec: int, level: int) -> tuple[bytes, bytes]:
        """Encode `raw` and seal it as an object of `kind`: (stored bytes, dp). The codec falls back to store if larger."""
    def open(self, kind: int, stored: Buffer, dp: Buffer, max_raw: int) -> bytes:
        """The raw bytes of a stored object; dp is 32 bytes (ignored for a plain scope)."""

def cut(data: Buffer, keys: ScopeKeys, algorithm: int, sizes: tuple[int, int, int], segment: int, threads: int) -> list[int]:
    """End offsets of the fragments of `data`, found in segments by `threads`: the same for any segment and threads."""

def bits_per_byte(data: Buffer, enough: float) -> float:
    """How compressible a chunk looks to a policy, 0 to 8: order-0 entropy of a sample, or 8 × its LZ4 ratio if that is smaller and it is not below `enough`."""

def measure(primitive: str, data: Buffer, threads: int, seconds: float, lengths: Sequence[int] | None = None) -> tuple[int, float]:
    """Run `copy`, `cut`, `blake3`, `chacha20-poly1305`, `aes-256-gcm`, `lz4`, `zstd:N`, `unlz4`, `unzstd:N`, `roundtrip:lz4` or `roundtrip:zstd:N` over
    `data` (raw) on `threads`, at least once and for `seconds`: (raw bytes processed, seconds). Pieces have the `lengths`, then 1 MiB each."""

def measure_creation(directory: bytes, sizes: Sequence[int]) -> float:
    """Create, write, date, rename and close files of these sizes in a directory, on one thread: the seconds it took."""

def measure_files(paths: Sequence[bytes], most: int = 1) -> float:
    """Open, stat, read (at most `most` bytes of) and close each file once, on one thread: the seconds it took."""

@final
class EntryTable:
    """Entries of a tree in order (one file-table page, or a batch). Once a page."""
    @staticmethod
    def from_columns(columns: dict[str, object]) -> EntryTable: ...
    def to_columns(self) -> dict[str, object]:
        """The columns of docs/format.md §7, keys in that order."""
    def __len__(self) -> int: ...
    def path(self, index: int) -> bytes: ...
    def entry(self, index: int) -> tuple[bytes, int, int, int, int, int, int, int, int, int, bytes, int, list[tuple[bytes, bytes]], list[tuple[int, int]], bytes]:
        """path, kind, mode, uid, gid, size, mtime ns, ctime ns, inode, flags, link, rdev, xattrs, extents, encoded runs (column `rr` of docs/format.md §7, by itself)."""
    def find(self, path: bytes) -> int | None:
        """Index of the entry with exactly this path, by binary search in component order."""
    def matching(self, matcher: Matcher) -> list[int]: ...
    def owners(self) -> tuple[list[int], list[int]]:
        """Distinct uids and gids."""
    def totals(self) -> tuple[int, int]:
        """Regular files and their logical bytes."""
    def using(self, fragments: Sequence[tuple[int, int]]) -> list[int]:
        """Indices of entries whose recipe touches any of the sorted, disjoint ordinal ranges [first, end)."""

@final
class Matcher:
    """gitignore-style patterns over stored paths: last match wins, `!` negates; a directory match covers all below it."""
    def __new__(cls, patterns: Sequence[str]) -> Matcher: ...
    def matches(self, path: bytes, is_directory: bool) -> bool: ...

@final
class Walker:
    """Walk roots in archive order. `roots` = (stored path, path on disk), sorted, disjoint. A call per ≤ 4096 entries."""
    def __new__(
        cls, roots: Sequence[tuple[bytes, bytes]], *, excludes: Sequence[str] = (), exclude_caches: bool = False,
        one_file_system: bool = False, skip: Sequence[tuple[int, int]] = ()
    ) -> Walker: ...
    def next(self, max_entries: int) -> WalkBatch | None: ...
    def problems(self) -> list[tuple[bytes, str, int]]:
        """(path on disk, what failed, errno) since the last call."""
    def used_excludes(self) -> list[str]:
        """The patterns that left something out so far, without blanks at their ends."""

@final
class WalkBatch:
    """Entries found by a walk, not yet read."""
    def __len__(self) -> int: ...
    @property
    def size(self) -> int:
        """Logical bytes of its files."""
    @property
    def last_path(self) -> bytes: ...

@final
class Baseline:
    """An earlier snapshot's entries, pushed in order and merged against a walk, so that unchanged files are not read.
    Unchanged = same path, kind, size, mtime, ctime and inode, and ctime older than `scan_time_ns` − 2 s."""
    def __new__(cls, scan_time_ns: int) -> Baseline: ...
    def push(self, table: EntryTable) -> None: ...
    def finish(self) -> None:
        """No more tables follow."""
    def behind(self, batch: WalkBatch) -> bool:
        """True while `apply` still needs further tables."""
    def apply(self, batch: WalkBatch) -> int:
        """Mark the unchanged entries of `batch` to take their recipe and attributes from here; how many."""

@final
class FragmentIndex:
    """Deduplication: fragment id → ordinal, in `memory` bytes; what exceeds them lies in unlinked files in `directory`."""
    def __new__(cls, memory: int, directory: bytes) -> FragmentIndex: ...
    def __len__(self) -> int: ...
    def load(self, first: int, ids: Buffer) -> None:
        """Joined 24-byte ids of the ordinals from `first` = len(self)."""

@final
class PackPipeline:
    """Read → cut → hash → deduplicate → compress → seal → write, on threads of its own. ≤ 50 calls a second."""
    def __new__(
        cls, fd: int, offset: int, keys: ScopeKeys, index: FragmentIndex, *, cutter: tuple[int, int, int, int],
        chunk: tuple[int, int, int], policy: Sequence[tuple[float, int, int]], threads: int, memory: int, verify: bool
    ) -> PackPipeline:
        """`fd` is written from `offset` (sequentially, so it may be a pipe). cutter = algorithm, min, mean, max; chunk = min, mean, max.
        policy rows (entropy below bits a byte, codec, level), first that fits; `verify` decodes and compares each chunk before it is written."""
    def submit(self, batch: WalkBatch) -> bool:
        """Hand in a batch; False (after ≤ 100 ms) if the window is full: poll and try again."""
    def submit_stream(self, fd: int, columns: dict[str, object]) -> None:
        """Hand in one regular file read from `fd` to its end; `columns` is an EntryTable's of one entry without recipe."""
    def finish(self) -> None:
        """No more input; the last chunk closes."""
    def poll(self, timeout_s: float) -> PackEvents:
        """What was written since the last poll; waits until there is something or the time is over."""
    def hold(self) -> PackEvents:
        """Stop the writer after its present chunk and return what is left to poll; readers go on until their window is full."""
    def release(self) -> None: ...
    def emit(self, blob: Buffer) -> int:
        """Append bytes (metadata) to the output between two chunks; their offset."""
    @property
    def offset(self) -> int: ...
    def abort(self) -> None:
        """Stop all threads and wait for them; idempotent."""

@final
class PackEvents:
    """A batch of results: records of written chunks and their fragments, complete entries, counters."""
    @property
    def done(self) -> bool:
        """All input is written and every entry delivered."""
    @property
    def chunks(self) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]:
        """Columns: offset u64, stored u32, cid 32, raw u32, fragments u32, codec u8, dp 32."""
    @property
    def fragments(self) -> tuple[bytes, bytes]:
        """Columns of the fragments of those chunks: length u32, id 24."""
    @property
    def tables(self) -> list[EntryTable]:
        """Complete file-table pages, cut by the rule of docs/format.md §7; after `done`, the last partial one too."""
    @property
    def partial(self) -> EntryTable | None:
        """From `hold` only: a copy of the complete entries of the page still open."""
    @property
    def counters(self) -> dict[str, int]:
        """Totals: entries, files, bytes_read, bytes_reused, bytes_duplicate, bytes_raw, bytes_stored, chunks, fragments."""
    @property
    def problems(self) -> list[tuple[bytes, str, int]]:
        """(stored path, what failed, errno; errno 0 = changed while read)."""
    @property
    def current(self) -> bytes:
        """Stored path last read, for progress."""

@final
class Census:
    """What a walk found, before anything is read. Once a batch, which stays as it is."""
    def __new__(cls) -> Census: ...
    def add(self, batch: WalkBatch) -> None: ...
    @property
    def totals(self) -> tuple[int, int, int, int]:
        """Entries, regular files, their logical bytes, and those of files of 64 MiB and more."""
    def types(self) -> list[tuple[bytes, int, int]]:
        """(extension in lower case or empty, files, bytes), in order of first appearance."""
    def shared_sizes(self, least_bytes: int) -> list[tuple[int, int]]:
        """(size, files) of sizes up to 2 MiB that several files have, together of at least so many bytes."""

@final
class Survey:
    """A look at a tree as it would be packed: everything or a part is read, named and packed, some chunks are encoded. A call a wave."""
    def __new__(
        cls, census: Census, keys: ScopeKeys, *, cutter: tuple[int, int, int, int], chunk: tuple[int, int, int],
        policy: Sequence[tuple[float, int, int]], threads: int, verify: bool, read_one_in: int, encode_one_in: int,
        finer: tuple[int, int, int, int] | None = None, certain: Sequence[int] = ...
    ) -> Survey:
        """cutter, chunk, policy and verify as for PackPipeline. `read_one_in` 1 reads all bytes; `encode_one_in` is of the chunks read;
        `finer` is a second cutter to compare; files of a size in `certain` are all read to find duplicates."""
    def add(self, batch: WalkBatch) -> None:
        """Take the entries of a batch; those not chosen are dropped."""
    def finish(self) -> None:
        """No more batches follow."""
    def step(self) -> bool:
        """Work for some hundredths of a second; False if there is nothing more to do for now."""
    def totals(self) -> dict[str, int]:
        """Sums: packed_planned (logical), packed (data read to be compressed), fragments; bytes read and new of drawn and certain files
        and with the finer cutter; read; CPU ns: read_ns, name_ns, pack_ns; wait_ns, in which reading waited; busy_ns of what waits for
        nothing but a core, and busy_wall_ns on the wall."""
    def strata(self) -> list[tuple[int, int, int, int, int, int]]:
        """Chunks by half bits of entropy, the last those compressed already: chunks, raw, raw of those encoded, stored, CPU ns to encode,
        CPU ns to decode, compare, seal and hash."""
    def types(self) -> list[tuple[int, float, int]]:
        """By type of the census: bytes looked at, sum of entropy × bytes, bytes compressed already."""
    def attempt(self, codec: tuple[int, int] | None, parts: int = 1) -> list[tuple[int, int, int, int]]:
        """Encode up to 2 chunks a stratum with (codec, level), None = by the policy, in so many parts: stored bytes and CPU ns, and both
        as it was at first."""
    def problems(self) -> list[tuple[bytes, str, int]]:
        """(stored path, what failed, errno) since the last call."""

@final
class ChunkIndex:
    """Where chunks and fragments lie. Filled from raw pages in order; checks that the columns agree."""
    def __new__(cls, encrypted: bool, chunk_max: int) -> ChunkIndex: ...
    def add_locators(self, raw: Buffer) -> None: ...
    def add_chunks(self, raw: Buffer) -> None: ...
    def add_fragments(self, raw: Buffer, keep_ids: bool) -> None: ...
    def add_missing_locators(self, count: int) -> None:
        """In place of a damaged page of so many records; as the next two: what lies there is lost, all else is found."""
    def add_missing_chunks(self, count: int, fragments: int) -> None: ...
    def add_missing_fragments(self, count: int, keep_ids: bool) -> None: ...
    def finish(self, data_end: int) -> None:
        """Check that the three columns describe the same chunks and fragments and lie in the file."""
    @property
    def chunks(self) -> int: ...
    @property
    def fragments(self) -> int: ...
    def chunk_fragments(self, chunk: int) -> tuple[int, int]:
        """(first fragment ordinal, end) of a chunk."""
    def locate(self, first: int, count: int) -> list[tuple[int, int, int]]:
        """The run of fragments as (chunk, offset in its raw bytes, length), neighbours in a chunk merged."""
    def marks(self, recipe: Buffer, every: int) -> tuple[list[tuple[int, int, int]], int]:
        """Of encoded runs, for one in `every`: (byte where it starts, ordinal behind the run before, bytes of data before); and all bytes of data."""
    def read(self, fd: int, keys: ScopeKeys, chunk: int) -> bytes:
        """One chunk: read, verified against its cid, opened and decoded."""
    def leaves(self) -> bytes:
        """Merkle leaf hashes of all chunks."""

@final
class UnpackPipeline:
    """Restore entries below a directory: chunks are decoded once a window and go wherever they belong. ≤ 50 calls a second."""
    def __new__(
        cls, fd: int, index: ChunkIndex, keys: ScopeKeys, target_fd: int, *, overwrite: int, owners: bool,
        devices: bool, setuid: bool, whole: bool, keep_damaged: bool, tag: bytes, threads: int, memory: int
    ) -> UnpackPipeline:
        """overwrite 0 = never, 1 = changed (size or mtime differ), 2 = always. `tag` (8 bytes) names temporary files, the same for each
        try. owners/devices: restore owners, devices; setuid: keep setuid and setgid bits; whole: directories without an
        entry get mode 0700; keep_damaged: write what is left of damaged files to NAME.damaged-…."""
    def submit(self, table: EntryTable, indices: Sequence[int] | None) -> bool:
        """Entries in archive order, pages in order (all of a page if None); False after ≤ 100 ms if the window is full."""
    def finish(self) -> None: ...
    def poll(self, timeout_s: float) -> dict[str, int]:
        """Totals: entries, files, skipped, bytes_written, bytes_discarded, kept, bytes_read, chunks; and done (0, 1)."""
    def problems(self) -> list[tuple[bytes, str, int, tuple[str, bytes | None, list[tuple[int, int]], int] | None]]:
        """(stored path, what failed, errno; errno 0 = damaged data, what is left of it) since the last call; the last with
        `keep_damaged` only: for people, path of the file that holds it, start and end of places in it that are lost (≤ 4,096), bytes that are."""
    def skips(self) -> dict[str, int]:
        """How often something was left out by rule: owner, device, socket, setuid, xattr, exists."""
    def abort(self) -> None: ...

@final
class ChunkVerifier:
    """Read and check chunks on threads: cids alone (keys None), or open, decode and check each fragment's id. ≤ 20 calls a second."""
    def __new__(cls, fd: int, index: ChunkIndex, keys: ScopeKeys | None, threads: int) -> ChunkVerifier: ...
    def poll(self, timeout_s: float) -> tuple[int, int, bool]:
        """(chunks checked, stored bytes checked, done)."""
    def damaged(self) -> list[tuple[int, str]]:
        """(chunk, what is wrong) since the last call."""
    def abort(self) -> None: ...

@final
class Endpoint:
    """Dials and accepts connections (docs/transfer-protocol.md §1) on threads of its own: UDP, and to listen TCP on the same port.
    A few calls a connection. It is to be closed: whoever only drops it waits, for up to a second, until all has ended."""
    def __new__(
        cls, seed: Buffer, *, address: str = "0.0.0.0:0", listen: bool = False, window: int | None = None,
        socket_buffer: int | None = None, mtu_most: int | None = None, mtu_first: int | None = None,
        congestion: str = "cubic", first_flight: int | None = None, acknowledge_each: int | None = None,
        idle: float | None = None, threads: int = 1
    ) -> Endpoint:
        """`seed` is that of the Ed25519 key (RFC 8032 §5.1.5, 32 bytes), of which nothing is shown. `address` is an IP address and a port
        (`[::]:0`), port 0 any that is free. None takes what docs/performance.md found best: `window` bytes under way to this side, once
        the other may, at least 1 MiB; `socket_buffer` bytes asked of the kernel; `mtu_most` and `mtu_first` bytes of a datagram, at least
        1200; `first_flight` bytes before the first answer; one acknowledgement for `acknowledge_each` packets; `idle` seconds without a
        sign of life, at least 1. `congestion` is `cubic` or `bbr`. `threads` (1 to 8) are those that connections from outside are spread
        over. OSError names an address that can't be had."""
    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port it is bound to."""
    @property
    def buffers(self) -> tuple[int, int]:
        """Bytes the kernel gave to receive and to send datagrams; less than was asked for slows fast paths down."""
    def fileno(self) -> int:
        """A descriptor (eventfd) that is readable while connections wait, and when it was closed. It stays the endpoint's."""
    def accept(self) -> Link | None:
        """The next connection that waits, from whoever; never blocks. CancelledError when it was closed."""
    def dial(self, host: str, port: int, *, carrier: str, expected: Buffer | None, timeout: float) -> Link:
        """Open a connection by `quic` or `tcp` to an IP address, where a machine holds the key `expected` (32 bytes; None: any).
        Waits at most `timeout` seconds. UnreachableError names the address; IdentityError: it is another machine."""
    def worked(self) -> float:
        """Seconds that a core has worked on the thread of one that does not listen, as of a moment ago."""
    def close(self) -> None:
        """Take and open no more connections, end all there are (their links fail), and wait until the port is free; idempotent."""

@final
class Link:
    """One connection, with messages in both directions; data goes by what takes the link. ≤ 1,000 calls a second.
    From whoever is at the other end: only short messages come until `authorize`. Both sides `finish`; who doesn't, must `abort`."""
    @property
    def carrier(self) -> str:
        """`quic`, `tcp` or `pipe`."""
    @property
    def dialed(self) -> bool:
        """This side opened it."""
    @property
    def peer(self) -> bytes:
        """The Ed25519 key (32 bytes) that the other side has proved to hold."""
    @property
    def exporter(self) -> bytes:
        """32 bytes that only the two ends of this connection know; all proofs hold them."""
    @property
    def address(self) -> str:
        """IP address and port of the other side, for people."""
    @property
    def ended(self) -> bool:
        """The other side has finished, and all its messages were taken."""
    def fileno(self) -> int:
        """A descriptor (eventfd) that is readable while messages wait, and from the end or a failure on. It stays the link's."""
    def messages(self) -> list[bytes]:
        """All that wait, in order, at most 1 MiB each; never blocks. When none waits, a link that failed raises why: UnreachableError
        (it broke), ClosedError (the other side closed it), ProtocolError, CancelledError (this side did); one that has `ended` has none."""
    def send(self, payload: Buffer, timeout: float = 0.0) -> bool:
        """Send a message of at most 1 MiB; False if 4 MiB wait already and go on to for `timeout` seconds. Raises what `messages` does;
        CancelledError after `finish`."""
    def authorize(self) -> None:
        """The other side has proved that it may: data and messages of up to 1 MiB are taken from now on."""
    def finish(self) -> None:
        """Nothing more is sent; what waits still goes."""
    def abort(self, code: int, text: str) -> None:
        """End it at once and drop what waits. QUIC tells the other side `code` and `text` (docs/transfer-protocol.md §8); TCP can't."""
    def receive_over(self, branch: Link) -> None:
        """What comes over `branch`, of the same two machines, is data of this link from now on; the two end and fail as one. UsageError
        for one of others, or an eighth; CancelledError when this link is over."""
    def send_over(self, branch: Link) -> None:
        """Data goes over it too, if it was asked for: when the other side knows what it is. CancelledError if it has ended."""
    @property
    def connections(self) -> int:
        """How many carry its data."""
    def traffic(self) -> tuple[int, int]:
        """Bytes of frames (sent, received), over all connections."""
    def path(self) -> tuple[float, int, int, int]:
        """What QUIC found: round trip in seconds, bytes of a datagram, congestion window in bytes, packets lost; zeros otherwise."""

def pipe(keys: tuple[Buffer, Buffer], exporter: Buffer, *, window: int | None = None) -> tuple[Link, Link]:
    """Two links joined in memory, for tests: the first dialed. `keys` are theirs (32 bytes each), as if proved."""

@final
class Cpace:
    """The initiator of draft-irtf-cfrg-cpace-21, CPACE-RISTR255-SHA512, without associated data. Once a connection; used once."""
    def __new__(cls, password: Buffer, channel_identifier: Buffer, session_identifier: Buffer) -> Cpace: ...
    @property
    def share(self) -> bytes:
        """What the other side gets (32 bytes)."""
    def finish(self, their_share: Buffer) -> bytes:
        """The key (ISK, 64 bytes), which is the other side's if its password is ours: that is still to be proved. Raises WrongKeyError for
        what is no share; whatever comes, a second call raises UsageError."""

def cpace_respond(password: Buffer, channel_identifier: Buffer, session_identifier: Buffer, their_share: Buffer) -> tuple[bytes, bytes]:
    """The responder: its share (32 bytes) and its key (64 bytes), as of `Cpace.finish`. Raises WrongKeyError for what is no share."""

@final
class TreeSource:
    """Reads a tree and puts it on a link: pages as they are made, fragments as they are wanted (docs/transfer-protocol.md §6).
    `spans` are (first, behind the last) fragments of a page. It has threads of its own until `stop`."""
    def __new__(
        cls, link: Link, walker: Walker, roots: Sequence[tuple[bytes, bytes]], records: tuple[int, int], keys: ScopeKeys, *,
        cutter: tuple[int, int, int, int], policy: Sequence[tuple[float, int, int]], compression: tuple[str, int],
        everything: bool, window: int, threads: int, memory: int, here: tuple[int, Buffer] | None = None
    ) -> TreeSource:
        """`roots` are those of the walker; `records` are files for the pages, and for how files were cut before. `compression` is
        none, always, or adaptive and the bytes a second below which a link is worth it. `here`: the first pages, which the sink says
        it has, and the digest of their digests."""
    def fileno(self) -> int:
        """A descriptor (eventfd) that is readable when there is news."""
    def news(self) -> tuple[tuple[int, int] | None, list[int], list[tuple[int, _Spans]], tuple[int, bytes, int, int] | None]:
        """The first pages that the sink has, which do not leave, with the fragments of all of them; then new fragments of each page that
        leaves, fragments that can't be read any more, and at the end (pages, digest, entries, bytes)."""
    def answer(self, page: int, spans: Sequence[tuple[int, int]]) -> None:
        """The sink wants these of a page. FormatError if it was not sent, or has not so many."""
    def limit(self, rate: int) -> None:
        """Send at most so many bytes a second; 0: as many as go."""
    def totals(self) -> dict[str, int]: ...
    def problems(self) -> list[tuple[bytes, str, int]]: ...
    def stop(self) -> None: ...

@final
class TreeSink:
    """Takes a tree from a link and restores it, with a journal from which a killed one goes on (docs/transfer-protocol.md §6)."""
    def __new__(
        cls, link: Link, target_fd: int, records: tuple[int, int], session: Buffer, keys: ScopeKeys, *, overwrite: int,
        owners: bool, devices: bool, setuid: bool, everything: bool, cutter: tuple[int, int, int, int], tag: Buffer, threads: int,
        epoch_bytes: int, epoch_s: float
    ) -> TreeSink:
        """`records` are files for pages and journal; `tag` (8 bytes) names temporary files, and is the same for each try."""
    def fileno(self) -> int: ...
    def news(self) -> tuple[list[tuple[int, _Spans]], list[tuple[int, dict[int, _Spans]]], tuple[bytes, int, int] | None]:
        """(page, spans) wanted, (epoch, pages) durable, and at the end (digest, entries restored, entries that failed)."""
    def here(self) -> tuple[int, bytes]:
        """The pages that are here from before, and the digest of their digests. To be called before any can come, if those need not."""
    def spare(self, pages: int) -> None:
        """The first pages are those that are here, and do not come."""
    def finish(self, pages: int) -> None:
        """So many pages are all."""
    def lost(self, page: int, spans: Sequence[tuple[int, int]]) -> None: ...
    def totals(self) -> dict[str, int]:
        """entries, files, skipped, bytes_written, bytes_discarded, bytes_received; bytes_covered: of files, with holes, that are dealt with."""
    def problems(self) -> list[tuple[bytes, str, int]]: ...
    def skips(self) -> dict[str, int]: ...
    def stop(self) -> None: ...

@final
class ArchiveSource:
    """Puts an archive on a link as it is stored: what is pushed in its order, chunks as they are wanted (docs/transfer-protocol.md §7).
    Pages lie at (offset, length, BLAKE3). It has threads of its own until `stop`. ≤ 1,000 calls a second."""
    def __new__(cls, link: Link, fd: int, end: int, locators: Sequence[tuple[int, int, Buffer]], *, threads: int) -> ArchiveSource:
        """Chunks are read from the file `fd`, where the pages `locators` say and before `end`."""
    def fileno(self) -> int:
        """A descriptor (eventfd) that is readable when there is news."""
    def push(self, offset: int, data: Buffer) -> bool:
        """Send bytes that are no chunk. False if 8 MiB wait: then nothing was taken, and news will tell of room."""
    def push_page(self, number: int, stored: Buffer) -> bool:
        """Send a locator page; likewise."""
    def answer(self, request: int, page: int, spans: Sequence[tuple[int, int]]) -> None:
        """The sink wants these chunks of a locator page: (first, behind the last). FormatError if there is no such page."""
    def answer_metadata(self, request: int, number: int, place: tuple[int, int, Buffer]) -> None:
        """The sink wants a metadata page; numbers are from 2^32 on."""
    def revoke(self, request: int) -> None: ...
    def news(self) -> tuple[dict[int, _Spans], bool]:
        """What was wanted and is damaged here, by page, and whether there is room again."""
    def limit(self, rate: int) -> None:
        """Send at most so many bytes a second; 0: as many as go."""
    @property
    def sent(self) -> int:
        """Stored bytes of chunks that left."""
    def stop(self) -> None: ...

@final
class ArchiveSink:
    """Takes an archive from a link: checks chunks by their cids, writes them, and keeps a journal (docs/transfer-protocol.md §7)."""
    def __new__(cls, link: Link, fd: int, *, threads: int, epoch_bytes: int, epoch_s: float) -> ArchiveSink:
        """Chunks are written to the file `fd`."""
    def fileno(self) -> int: ...
    def open_journal(self, fd: int, name: Buffer) -> dict[int, _Spans]:
        """The journal of what `name` (16 bytes) stands for, before the first chunk is expected: chunks that are durable, by page."""
    def expect(self, number: int, stored: Buffer, end: int, spans: Sequence[tuple[int, int]]) -> None:
        """These chunks of a locator page (as it is stored, and was checked) may come, and lie before `end`. Before they are asked for."""
    def lost(self, page: int, spans: Sequence[tuple[int, int]]) -> None:
        """They do not come. ProtocolError if they were not awaited."""
    def flush(self) -> None:
        """Make durable, and tell, what is written now."""
    def news(self) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]], list[tuple[int, _Spans]], list[tuple[int, dict[int, _Spans]]]]:
        """Bytes by offset; locator pages by number; chunks that came damaged, to be asked for again; (epoch, chunks) that are durable."""
    @property
    def received(self) -> int:
        """Stored bytes of chunks that came."""
    def stop(self) -> None: ...
