"""CBOR of the protocol: the bytes of RFC 8949's appendix A, and everything that is refused."""

import pytest

from warp_portal.errors import ProtocolError
from warp_portal.protocol import cbor

# RFC 8949, appendix A, as far as our values go; maps with keys of our kind.
APPENDIX_A = {
    "00": 0, "01": 1, "0a": 10, "17": 23, "1818": 24, "1819": 25, "1864": 100, "1903e8": 1000, "1a000f4240": 1_000_000,
    "1b000000e8d4a51000": 1_000_000_000_000, "1bffffffffffffffff": 2**64 - 1, "3bffffffffffffffff": -(2**64),
    "20": -1, "29": -10, "3863": -100, "3903e7": -1000, "f4": False, "f5": True, "f6": None,
    "40": b"", "4401020304": bytes([1, 2, 3, 4]), "60": "", "6161": "a", "6449455446": "IETF", "62225c": '"\\',
    "62c3bc": "ü", "63e6b0b4": "水", "64f0908591": "𐅑", "80": [], "83010203": [1, 2, 3],
    "8301820203820405": [1, [2, 3], [4, 5]], "98190102030405060708090a0b0c0d0e0f101112131415161718181819": [*range(1, 26)],
    "a0": {}, "a201020304": {1: 2, 3: 4},
}  # fmt: skip

REFUSED = {
    "nothing": "",
    "a second item": "0000",
    "a float of two bytes": "f90000",
    "a float of four bytes": "fa47c35000",
    "a float of eight bytes": "fb3ff199999999999a",
    "undefined": "f7",
    "a simple value": "f0",
    "a simple value of two bytes": "f8ff",
    "true in two bytes": "f815",
    "a tag": "c074323031332d30332d32315432303a30343a30305a",
    "a big number": "c249010000000000000000",
    "bytes of indefinite length": "5f42010243030405ff",
    "text of indefinite length": "7f657374726561646d696e67ff",
    "an array of indefinite length": "9fff",
    "a map of indefinite length": "bfff",
    "a break": "ff",
    "a reserved head": "1c",
    "0 in two bytes": "1800",
    "23 in two bytes": "1817",
    "24 in three bytes": "190018",
    "255 in five bytes": "1a000000ff",
    "65,535 in nine bytes": "1b000000000000ffff",
    "-1 in two bytes": "3800",
    "a length in two bytes": "580161",
    "an array's length in two bytes": "980100",
    "a map's length in two bytes": "b8010000",
    "a key in two bytes": "a1180000",
    "a key twice": "a2010001ff",
    "the same key twice": "a201000101",
    "keys out of order": "a202000100",
    "long keys out of order": "a21818000100",
    "a negative key": "a12000",
    "a text as key": "a1616100",
    "bytes as key": "a1416100",
    "true as key": "a1f500",
    "an array as key": "a18000",
    "no UTF-8": "61ff",
    "a surrogate": "63eda080",
    "bytes longer than all there is": "5affffffff",
    "text of 2^64 - 1 bytes": "7bffffffffffffffff",
    "an array of 2^64 - 1 items": "9bffffffffffffffff",
    "a map of 2^64 - 1 keys": "bbffffffffffffffff",
}


@pytest.mark.parametrize("hexed", APPENDIX_A)
def test_values_have_the_bytes_of_the_rfc(hexed: str) -> None:
    raw, value = bytes.fromhex(hexed), APPENDIX_A[hexed]
    assert cbor.encode(value) == raw
    assert cbor.decode(raw) == value
    assert type(cbor.decode(raw)) is type(value)


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_ours_is_refused(what: str) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode(bytes.fromhex(REFUSED[what]))


def test_keys_are_written_in_order() -> None:
    keys = [2**63, 2**32, 70_000, 256, 255, 24, 23, 1, 0]
    raw = cbor.encode(dict.fromkeys(keys, 0))
    assert list(cbor.decode_map(raw)) == sorted(keys)
    assert raw.hex() == "a900000100170018180018ff00190100001a00011170001b0000000100000000001b800000000000000000"


@pytest.mark.parametrize(
    "value", [1.5, {1.5: 1}, {"a": 1}, {-1: 1}, {True: 1}, {1, 2}, 2**64, -(2**64) - 1, "\ud800", object()]
)
def test_what_a_reader_refuses_is_not_written(value: object) -> None:
    with pytest.raises(ProtocolError):
        cbor.encode(value)


def test_eight_levels_are_read_and_nine_refused() -> None:
    assert cbor.decode(b"\x81" * 7 + b"\x80") is not None
    assert cbor.decode(b"\x81" * 8 + b"\x00") is not None
    for raw in (b"\x81" * 8 + b"\x80", b"\xa1\x00" * 8 + b"\xa0", b"\x81" * 100_000 + b"\x00"):
        with pytest.raises(ProtocolError, match="levels"):
            cbor.decode(raw)


def test_so_many_items_are_read_and_one_more_refused() -> None:
    most = cbor.MAX_ITEMS - 1
    raw = b"\x99" + most.to_bytes(2, "big") + b"\x00" * most
    assert len(cbor.decode(raw)) == most  # type: ignore[arg-type]  # an array
    with pytest.raises(ProtocolError, match="items"):
        cbor.decode(b"\x9a" + (most + 1).to_bytes(4, "big") + b"\x00" * (most + 1))


def test_items_are_counted_over_all_levels() -> None:
    half = b"\x99\x80\x00" + b"\x80" * 0x8000
    with pytest.raises(ProtocolError, match="items"):
        cbor.decode(b"\x82" + half + half)


def test_so_many_keys_are_read_and_one_more_refused() -> None:
    cbor.decode(cbor.encode(dict.fromkeys(range(cbor.MAX_KEYS), 0)))
    with pytest.raises(ProtocolError, match="keys"):
        cbor.encode(dict.fromkeys(range(cbor.MAX_KEYS + 1), 0))


def test_a_mebibyte_is_read_and_a_byte_more_refused() -> None:
    whole = bytes(cbor.MAX_BYTES - 5)
    raw = cbor.encode(whole)
    assert len(raw) == cbor.MAX_BYTES
    assert cbor.decode(raw) == whole
    for refused in (lambda: cbor.encode(whole + b"\0"), lambda: cbor.decode(raw + b"\0")):
        with pytest.raises(ProtocolError, match="bytes"):
            refused()


def test_only_a_map_is_a_map() -> None:
    assert cbor.decode_map(b"\xa0") == {}
    with pytest.raises(ProtocolError):
        cbor.decode_map(b"\x80")
