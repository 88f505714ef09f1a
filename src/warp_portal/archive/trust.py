"""Whether a whole archive is also the right one: commit MAC, signature, and what was seen or expected of it before.

A forger without the key can only go back: serve an older state, or one without its signature. So the newest commit seen
is remembered, with its signer, and the state at hand must descend from it.
"""

import enum
from dataclasses import dataclass
from typing import Final

from warp_portal._native import ScopeKeys
from warp_portal.archive.commit import Commit
from warp_portal.archive.opening import Opened, history, read_toc
from warp_portal.archive.state import Remembered
from warp_portal.archive.storage import Readable
from warp_portal.errors import RollbackError, SignatureError, SignerError, UnsignedError
from warp_portal.keys.signers import Signer


class SignatureState(enum.Enum):
    """What is known of a snapshot's signature."""

    UNSIGNED = "unsigned"
    UNCHECKED = "present, not checked: give the key or the signer"
    UNKNOWN_SIGNER = "valid, signer unknown"
    REMEMBERED = "valid, by the same signer as before"
    TRUSTED = "valid, by the signer asked for"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the caller demands: a signer, and the hash of the newest commit or a beginning of it (≥ 8 bytes)."""

    signer: Signer | None = None
    commit_hash: bytes | None = None


NOTHING_EXPECTED: Final = Expectation()


def check_state(file: Readable, opened: Opened, keys: ScopeKeys | None, seen: Remembered | None) -> None:
    """Check the commit's MAC (with keys) and that it descends from the state remembered.

    `seen` has to be read before the commit is, or under the writer's lock: a writer may end its work, and remember it, in
    between, and what was read before that would look rolled back.
    """
    if keys is not None:
        opened.commit.check_mac(keys)
    if seen is not None:
        _check_descent(file, opened.commit, seen)


def _check_descent(file: Readable, commit: Commit, seen: Remembered) -> None:
    """Raises RollbackError unless `commit` is, or follows by digests, the one remembered."""
    if commit.sequence < seen.sequence:
        raise RollbackError(
            f"{file.name} is at commit {commit.sequence}, older than commit {seen.sequence} that this machine has seen: "
            f"rolled back, or an old copy; to read it all the same: --expect-commit {commit.digest().hex()}; to go on from it, and "
            "give up what came after: `warp append --recover`"
        )
    if named_commit(file, commit, seen.sequence).digest() != seen.commit_digest:
        raise RollbackError(
            f"{file.name}: commit {seen.sequence} is another than the one seen before: two copies were appended to, or it was "
            "exchanged; use the copy that this machine saw last, or read this one with --expect-commit "
            f"{commit.digest().hex()}"
        )


def named_commit(file: Readable, newest: Commit, sequence: int) -> Commit:
    """The commit `sequence` of those up to `newest`, with each step checked by the digest that its successor names.

    Raises:
        RollbackError: one is another than the one named.
    """
    digest = newest.digest()
    for step in history(file, newest):
        if step.digest() != digest:
            raise RollbackError(f"{file.name}: commit {step.sequence} is not the one that its successor names")
        if step.sequence <= sequence:
            return step
        digest = read_toc(file, step).clear.previous_digest
    return newest


def check_expected_commit(file: Readable, commit: Commit, expected: bytes | None) -> None:
    """Raises RollbackError unless the commit is the expected one."""
    if expected is not None and not commit.digest().startswith(expected):
        raise RollbackError(f"{file.name}: its newest snapshot is not the expected commit {expected.hex()}")


def check_signature(
    file: Readable, opened: Opened, public: bytes | None, seen: Remembered | None, expected: Signer | None
) -> SignatureState:
    """What a snapshot's signature is worth. `public` is the sealed TOC's signer, None without keys.

    Raises:
        UnsignedError: unsigned, although it was asked to be signed or was signed before.
        SignatureError: the signature does not hold, or is by another signer.
    """
    commit = opened.commit
    if not commit.signed:
        _check_may_be_unsigned(file, commit, seen, expected)
        return SignatureState.UNSIGNED
    signer = expected or (Signer(public) if public else None)
    if signer is None and seen and seen.signer:
        signer = Signer(seen.signer)
    if signer is None:
        return SignatureState.UNCHECKED
    if signer.tag != commit.signer_tag:
        by = f", {Signer(public)}" if public else ""
        raise SignatureError(
            f"{file.name}: commit {commit.sequence} is signed by another signer than {signer}{by}: ask its author which is right"
        )
    commit.check_signature(opened.header.uuid, signer)
    if seen and seen.signer and seen.signer != signer.raw and expected is None:
        raise SignatureError(
            f"{file.name}: commit {commit.sequence} is signed by another signer than before, "
            f"{signer}: if its author says that this is right, `warp verify --signer` with that key makes it the one remembered"
        )
    if expected is not None:
        return SignatureState.TRUSTED
    return SignatureState.REMEMBERED if seen and seen.signer == signer.raw else SignatureState.UNKNOWN_SIGNER


def _check_may_be_unsigned(file: Readable, commit: Commit, seen: Remembered | None, expected: Signer | None) -> None:
    if expected is not None:
        raise UnsignedError(f"{file.name}: commit {commit.sequence} is not signed: ask its author for a signed one")
    if seen is not None and seen.signer:
        raise UnsignedError(f"{file.name}: commit {commit.sequence} is not signed, but the archive was before")
    # A signed checkpoint counts here too, though it vouches for nothing: the run that signed it would have signed its end.
    if any(earlier.signed for earlier in history(file, commit)):
        raise UnsignedError(f"{file.name}: commit {commit.sequence} is not signed, but an earlier one is")


def check_earlier_signature(
    file: Readable, opened: Opened, public: bytes | None, seen: Remembered | None, expected: Signer | None
) -> SignatureState:
    """As `check_signature`, for a snapshot that a newer, checked one follows: another signer than now may have signed it."""
    same = seen is not None and seen.signer and Signer(seen.signer).tag == opened.commit.signer_tag
    return check_signature(file, opened, public, seen if same else None, expected)


def check_continued(
    file: Readable, snapshot: Opened, public: bytes, seen: Remembered | None, own: Signer | None
) -> None:
    """Whether a writer may build on a snapshot, for its signature will vouch for all before it. `public` as in the sealed TOC.

    Raises:
        UnsignedError: it is not signed, but an earlier one is, or was when last seen.
        SignatureError: its signature does not hold.
        SignerError: it is signed by someone who is neither `own` nor the signer remembered.
    """
    if not snapshot.commit.signed:
        check_signature(file, snapshot, public, seen, None)
        return
    known = {own.raw if own else b"", seen.signer if seen else b""}
    check_signature(file, snapshot, public, None, None)
    if public not in known:
        raise SignerError(
            f"{file.name}: commit {snapshot.commit.sequence} is signed by {Signer(public)}, neither you nor the signer "
            "remembered: `warp verify --signer` it first, if you trust that signer"
        )
