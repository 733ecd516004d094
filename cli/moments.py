"""Moments and spans of time as people write them."""

import re
from datetime import UTC, datetime, timedelta

import typer

from cli.failures import Failed

_SPAN = re.compile(r"([0-9]{1,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> int:
    """`90d`, `12h`, `30m`, `45s` as seconds."""
    found = _SPAN.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise typer.BadParameter(f"{text} is no time: write 90d, 12h or 30m")
    return int(found[1]) * _SECONDS[found[2]]


def span_of(seconds: int) -> str:
    """604800 → `7d`."""
    unit = next(unit for unit in "dhms" if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def moment(text: str) -> str:
    """A moment, or how long ago (24h), in ISO 8601 with its zone; one without a zone is of this machine's."""
    if _SPAN.fullmatch(text):
        return (datetime.now(UTC) - timedelta(seconds=seconds_of(text))).isoformat()
    try:
        said = datetime.fromisoformat(text)
        return (said if said.tzinfo else said.astimezone()).isoformat()
    except (ValueError, OverflowError):  # the latter of years that no zone is known of
        how = "Write how long ago (24h, 7d, 30m), or a moment (2026-11-01T00:00Z)."
        raise Failed(f"{text} is no time.", how, code="bad-time") from None
