"""Logs on standard error: one JSON object a line, whoever wrote it, with the service and, where they are known, deployment, step and trace."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from shared.messages import utc_now
from shared.telemetry import trace_id

REPEAT_S = 60.0
"""How often a library may say the same again."""
AGAIN_S = 10.0
_REMEMBERED = 1000

_FIRST = ("timestamp", "level", "service", "event", "deployment", "step")


def configure(service: str, level: str) -> None:
    """Sets up this process's logs; those of libraries (the `logging` module) from WARNING on, in the same form."""

    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    every: Sequence[Processor] = (
        structlog.contextvars.merge_contextvars,
        add_service,
        _add_trace,
        structlog.processors.add_log_level,
        _Thinned(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _in_order,
    )
    output = _Output(sys.stderr)
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=False)
    structlog.configure(
        processors=[*every, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=output),  # type: ignore[arg-type]  # it asks for write and flush only
        cache_logger_on_first_use=False,  # module loggers would keep the set-up that they were first used with
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *every],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_json],
        )
    )
    handler.addFilter(_NotAgain())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def died(error: BaseException) -> None:
    """The last line of a process that ends because of an error; also where it came before `configure`."""
    said = f"{type(error).__name__}: {error}"
    if structlog.is_configured():
        structlog.get_logger().critical("ended by an error", error=said, exc_info=error)
        return
    line = {"event": "could not start", "error": said, "level": "critical", "timestamp": utc_now().isoformat().replace("+00:00", "Z")}
    _Output(sys.stderr).write(json.dumps(line, ensure_ascii=False) + "\n")


class _Output:
    """Where lines go. One that cannot be written, to a full disk, is lost; whoever logs goes on."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """A line with its end."""
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Hands it over."""
        with suppress(OSError):
            self._file.flush()


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    found = trace_id()
    if found is not None:
        event["trace_id"] = found
    return event


class _Thinned:
    """Of what is tried again and again while something is away, one line every ten seconds; it says how many were left out.

    Only warnings that give a reason and belong to no deployment are thinned.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if event["level"] != "warning" or "deployment" in event or not (event.keys() & {"error", "reason"}):
            return event
        key = tuple(f"{name}={value}" for name, value in sorted(event.items()) if name not in {"error", "reason", "seconds", "trace_id"})
        now = time.monotonic()
        at, left_out = self._said.get(key, (-AGAIN_S, 0))
        if now - at < AGAIN_S:
            self._said[key] = (at, left_out + 1)
            raise structlog.DropEvent
        if len(self._said) > _REMEMBERED:
            self._said.clear()
        self._said[key] = (now, 0)
        if left_out:
            event["left_out"] = left_out
        return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What every line has comes first, in the same places; then where it belongs."""
    return {name: event[name] for name in _FIRST if name in event} | {name: value for name, value in event.items() if name not in _FIRST}


class _NotAgain(logging.Filter):
    """Drops what the same place in a library said within the last minute: a collector that is away is news once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._said.get(place, -REPEAT_S) < REPEAT_S:
            return False
        self._said[place] = now
        return True
