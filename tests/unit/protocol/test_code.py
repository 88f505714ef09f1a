"""Short codes: the list they are made of, forgiving reading, and that the password stays inside."""

import hashlib
from collections.abc import Sequence

import pytest

from warp_portal.errors import UsageError
from warp_portal.protocol.code import ShortCode, word_list

# english.txt of the BIP-39 repository: a word a line.
LIST_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


def test_the_list_is_that_of_bip_39() -> None:
    words = word_list()
    assert hashlib.sha256("".join(f"{word}\n" for word in words).encode()).hexdigest() == LIST_SHA256
    assert list(words) == sorted(words)


def test_four_letters_tell_all_words_apart() -> None:
    words = word_list()
    assert len({word[:4] for word in words}) == len(words) == 2048
    for word in words:
        assert ShortCode.parse(f"1-{word}-zoo-{word[:4]}").password == f"{word}-zoo-{word}"


@pytest.mark.parametrize(
    "typed",
    [
        "7-abandon-zoo-legal", "7 abandon zoo legal", " 7  ABANDON-Zoo legal\n", "07-aban-zoo-lega", "7–abandon—zoo‑legal",
        "7. abandon, zoo, legal.", "7:abando/zoo_legal", "\t7-abandon-zoo-legal",
    ],
)  # fmt: skip
def test_reading_is_forgiving(typed: str) -> None:
    assert ShortCode.parse(typed) == ShortCode(7, "abandon-zoo-legal")


@pytest.mark.parametrize("typed", ["17-47110815", "17 4711 0815", "17-4711-08-15", "017.4711.0815"])
def test_digits_are_read_in_any_groups(typed: str) -> None:
    assert ShortCode.parse(typed) == ShortCode(17, "47110815")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "begins with a number"), ("abandon-zoo-legal", "begins with a number"), ("7", "not complete"),
        ("-7-", "not complete"), ("7-abandon-zoo", "3 words .* not 2"), ("7-abandon-zoo-legal-zoo", "not 4"),
        ("7-abandon-zoo-lea", "third word"), ("7-abadon-zoo-legal", "first word"), ("7-abandon-zzz-legal", "second word"),
        ("7-abandonx-zoo-legal", "first word"), ("7-abandon-zo-legal", "second word"), ("7-abandon-zoo-1234", "third word"),
        ("7-1234567", "8 to 32"), ("7-" + "1" * 33, "8 to 32"), ("0-abandon-zoo-legal", "from 1 to 999999"),
        ("1000000-abandon-zoo-legal", "from 1"), ("7-" + "1" * 200, "too long"), ("٧-abandon-zoo-legal", "begins with"),
        ("7-١٢٣٤٥٦٧٨", "3 words"), ("x7-abandon-zoo-legal", "begins with"),
    ],
)  # fmt: skip
def test_what_is_no_code_is_told_why(typed: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        ShortCode.parse(typed)
    assert not {"abandon", "legal", "lea", "abadon"} & set(str(caught.value).split())


def test_a_slip_is_named_by_its_place_and_not_repeated() -> None:
    for typed, says in (
        ("7-abandon-notaword", "not 2; number 2 of these is not on the list"),
        ("7-abandon-zoo", "not 2$"),
        ("7-abandon-zoo-notaword", "the third word"),
    ):
        with pytest.raises(UsageError, match=says) as caught:
            ShortCode.parse(typed)
        assert "notaword" not in str(caught.value)


def test_a_new_code_is_of_three_words_chosen_from_all() -> None:
    asked = list[int]()

    def last(choices: Sequence[str]) -> str:
        asked.append(len(choices))
        return choices[-1]

    assert ShortCode.of_words(4, last) == ShortCode(4, "zoo-zoo-zoo")
    assert asked == [2048] * 3
    assert ShortCode.of_digits(4, 9, last) == ShortCode(4, "9" * 9)


def test_new_codes_differ_and_are_read_again() -> None:
    codes = [make(n) for n in range(1, 30) for make in (ShortCode.of_words, ShortCode.of_digits)]
    assert len({code.password for code in codes}) == len(codes)
    assert [ShortCode.parse(code.text()) for code in codes] == codes


@pytest.mark.parametrize("digits", [0, 7, 33])
def test_too_few_and_too_many_digits_are_refused(digits: int) -> None:
    with pytest.raises(UsageError):
        ShortCode.of_digits(1, digits)


def test_the_password_is_shown_by_the_text_alone() -> None:
    code = ShortCode(7, "abandon-zoo-legal")
    assert code.text() == "7-abandon-zoo-legal"
    assert f"{code!r} {code}" == "ShortCode(7) ShortCode(7)"
