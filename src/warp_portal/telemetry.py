"""Structured logs on stderr: event names with fields, as text on a terminal and as JSON lines elsewhere.

structlog renders through the standard library's logging, so that records of other packages pass the same processors.
Secrets have no place in a log; as a last line of defence every record is redacted before it is rendered: values of
fields that are named like secrets, the texts of private keys, whatever was announced with `conceal`, and raw bytes.
Nothing is imported or set up before `configure` is called.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from warp_portal.secrecy import REDACTED, redacted

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_SECRET_FIELD: Final = re.compile(
    r"passphrase|password|secret|token|seed|credential|private|(^|_)keys?$", re.IGNORECASE
)
# Shorter ones would redact half of every record, and are no secret.
_LEAST_CONCEALED: Final = 4

_concealed: set[str] = set()


def configure(level: str = "warning", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send records from `level` up to `stream` (stderr); `form` is auto, text or json. May be called again."""
    import structlog

    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "text" or (form == "auto" and is_terminal):
        renderer = structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=structlog.dev.plain_traceback)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=number, force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> "FilteringBoundLogger":
    """A logger for a module; `logger("pack").info("checkpoint.written", sequence=3)`."""
    import structlog

    found: FilteringBoundLogger = structlog.get_logger(name)
    return found


def conceal(secret: str) -> None:
    """Replace this text wherever it should turn up in a record."""
    if len(secret) >= _LEAST_CONCEALED:
        _concealed.add(secret)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor that takes secrets out of a record."""
    for name, value in event.items():
        if not name.startswith("_"):
            event[name] = REDACTED if _SECRET_FIELD.search(name) else _cleaned(value)
    return event


def _cleaned(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, dict):
        return {key: REDACTED if _SECRET_FIELD.search(str(key)) else _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item) for item in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = redacted(str(value))
    for secret in _concealed:
        text = text.replace(secret, REDACTED)
    return text
