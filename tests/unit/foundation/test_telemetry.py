import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from warp_portal import telemetry
from warp_portal.secrecy import REDACTED

PLANTED = "correct-horse-battery"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    telemetry._concealed.clear()


def records(level: str = "debug", form: str = "auto") -> io.StringIO:
    stream = io.StringIO()
    telemetry.configure(level, form, stream)
    return stream


def test_records_are_json_lines_where_there_is_no_terminal() -> None:
    stream = records()
    telemetry.logger("pack").info("checkpoint.written", sequence=3)
    record = json.loads(stream.getvalue())
    assert (record["event"], record["sequence"], record["level"]) == ("checkpoint.written", 3, "info")
    assert "timestamp" in record


def test_text_is_for_people() -> None:
    stream = records(form="text")
    telemetry.logger("pack").info("checkpoint.written", sequence=3)
    assert "checkpoint.written" in stream.getvalue()
    assert "sequence=3" in stream.getvalue()


def test_records_below_the_level_are_dropped() -> None:
    stream = records("warning")
    telemetry.logger("pack").info("nothing")
    logging.getLogger("other").info("nothing")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_planted_secret_gets_out(form: str) -> None:
    telemetry.conceal(PLANTED)
    stream = records(form=form)
    log = telemetry.logger("keys")
    log.info("opened", passphrase=PLANTED, archive_key=b"0" * 32, api_token="tttt1234", note=f"using {PLANTED}!")
    log.info(f"with {PLANTED}", items=[PLANTED, {"inner_secret": "ssss1234", "other": (PLANTED,)}])
    log.info("key", line="WARP-IDENTITY-XWING:ABCDEF234567 and warp-signing-key:qwerty77", raw=PLANTED.encode())
    logging.getLogger("library").warning("%s leaked", PLANTED, extra={"password": "pppp1234"})
    try:
        raise ValueError(f"bad {PLANTED}")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    for secret in (PLANTED, "tttt1234", "ssss1234", "pppp1234", "ABCDEF234567", "qwerty77", "0000"):
        assert secret not in text
    assert REDACTED in text


def test_what_is_no_secret_stays() -> None:
    stream = records()
    telemetry.logger("x").info("e", count=3, ratio=0.5, ok=True, nothing=None, path="/a/b", monkey="m")
    record = json.loads(stream.getvalue())
    assert [record[name] for name in ("count", "ratio", "ok", "nothing", "path", "monkey")] == [
        3,
        0.5,
        True,
        None,
        "/a/b",
        "m",
    ]


def test_a_short_text_is_not_taken_for_a_secret() -> None:
    telemetry.conceal("e")
    stream = records()
    telemetry.logger("x").info("event")
    assert json.loads(stream.getvalue())["event"] == "event"
