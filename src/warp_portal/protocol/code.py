"""The short code that one reads to another: a public nameplate, and words or digits that are secret (docs/transfer-protocol.md §4).

    7-abandon-zoo-legal   17-4711-0815  →  nameplate 7, password "abandon-zoo-legal"   nameplate 17, password "47110815"

Three words of the English list of BIP-39 are 33 bits, eight digits 27: enough where each guess takes an exchange with
the listener, which stops after three. Reading forgives case, blanks, dashes and dots, and a word may be cut to its first
four letters, which no two words share.
"""

import re
import secrets
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

from warp_portal.errors import UsageError
from warp_portal.protocol.proving import MAX_NAMEPLATE

WORDS: Final = 3
LIST_WORDS: Final = 2048
PREFIX_LETTERS: Final = 4
MIN_DIGITS: Final = 8
MAX_DIGITS: Final = 32
MAX_TEXT: Final = 128
_SEPARATORS: Final = re.compile(r"[\s\-\u2010-\u2015\u2212_.,:/]+")
_NUMBER: Final = re.compile(r"[0-9]+")
_ORDINALS: Final = ("first", "second", "third")

Choose = Callable[[Sequence[str]], str]
"""Picks one of several at random, each as likely as the others."""


@dataclass(frozen=True, slots=True, repr=False)
class ShortCode:
    """`nameplate` is public; `password` is what CPace takes, and only `text` shows it."""

    nameplate: int
    password: str

    def __post_init__(self) -> None:
        if not 1 <= self.nameplate <= MAX_NAMEPLATE:
            raise UsageError(f"the number at the beginning of a code is from 1 to {MAX_NAMEPLATE}")

    @classmethod
    def of_words(cls, nameplate: int, choose: Choose = secrets.choice) -> Self:
        """A new code of three words."""
        return cls(nameplate, "-".join(choose(word_list()) for _ in range(WORDS)))

    @classmethod
    def of_digits(cls, nameplate: int, digits: int = MIN_DIGITS, choose: Choose = secrets.choice) -> Self:
        """A new code of digits, for who has no letters; raises UsageError for too few or too many."""
        if not MIN_DIGITS <= digits <= MAX_DIGITS:
            raise UsageError(f"a code has {MIN_DIGITS} to {MAX_DIGITS} digits")
        return cls(nameplate, "".join(choose("0123456789") for _ in range(digits)))

    @classmethod
    def parse(cls, typed: str) -> Self:
        """What a person typed; raises UsageError, which repeats nothing of it."""
        if len(typed) > MAX_TEXT:
            raise UsageError("this is too long for a code")
        number, *rest = [part for part in _SEPARATORS.split(typed.lower()) if part] or [""]
        if _NUMBER.fullmatch(number) is None:
            raise UsageError("a code begins with a number: 7-WORD-WORD-WORD")
        if not rest:
            raise UsageError("the code is not complete: behind its number come three words, or digits")
        digits = "".join(rest)
        return cls(int(number), _digits(digits) if _NUMBER.fullmatch(digits) else "-".join(_words(rest)))

    def text(self) -> str:
        """The line that a person reads out."""
        return f"{self.nameplate}-{self.password}"

    def __repr__(self) -> str:
        return f"ShortCode({self.nameplate})"


@cache
def word_list() -> tuple[str, ...]:
    """The 2,048 words, in alphabetical order. Both sides must have the same: a test knows its digest."""
    from mnemonic import Mnemonic

    words = tuple(Mnemonic("english").wordlist)
    assert len(words) == LIST_WORDS
    return words


def _digits(typed: str) -> str:
    if not MIN_DIGITS <= len(typed) <= MAX_DIGITS:
        raise UsageError(f"a code of digits has {MIN_DIGITS} to {MAX_DIGITS} of them behind its number")
    return typed


def _words(typed: list[str]) -> list[str]:
    if len(typed) != WORDS:
        unknown = [number for number, one in enumerate(typed, 1) if _found(one) is None]
        which = f"; number {unknown[0]} of these is not on the list" if unknown else ""
        raise UsageError(f"a code has {WORDS} words behind its number, not {len(typed)}{which}")
    return [_word(one, place) for one, place in zip(typed, _ORDINALS, strict=True)]


def _found(typed: str) -> str | None:
    """The word that was typed, whole or in its first letters."""
    words = word_list()
    at = bisect_left(words, typed)
    found = words[at] if at < len(words) else ""
    is_it = found == typed or (len(typed) >= PREFIX_LETTERS and found.startswith(typed))
    return found if is_it else None


def _word(typed: str, place: str) -> str:
    if (found := _found(typed)) is not None:
        return found
    raise UsageError(f"the {place} word of the code is not on the list: look for a mistyped letter")
