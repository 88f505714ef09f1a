import re

import pytest

from warp_portal import errors


def classes() -> list[type[errors.WarpPortalError]]:
    found = [errors.WarpPortalError]
    for cls in found:
        found += cls.__subclasses__()
    return found


def test_the_docstring_draws_every_class_with_its_exit_code() -> None:
    drawn = dict(re.findall(r"(\w+Error)\s+(\d+) ", errors.__doc__ or ""))
    assert drawn == {cls.__name__: str(cls.exit_code) for cls in classes()}


@pytest.mark.parametrize("cls", classes())
def test_an_error_is_made_of_one_message(cls: type[errors.WarpPortalError]) -> None:
    error = cls("archive.warp: damaged: fetch it again")
    assert str(error) == "archive.warp: damaged: fetch it again"
    assert 1 <= error.exit_code <= 130


def test_exit_codes_are_those_promised_to_scripts() -> None:
    promised = {
        "UsageError": 2, "PartialError": 3, "NotFoundError": 10, "BusyError": 11, "KeyRequiredError": 12, "WrongKeyError": 12,
        "IdentityError": 12, "IntegrityError": 13, "PolicyError": 14, "UnreachableError": 15, "VersionError": 16, "StorageFullError": 17,
        "CapError": 18, "ProtocolError": 19, "CancelledError": 130,
    }  # fmt: skip
    assert {name: getattr(errors, name).exit_code for name in promised} == promised
