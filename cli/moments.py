"""Moments as people write them."""

import re
from datetime import UTC, datetime, timedelta

from cli.failures import Failed

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> str:
    """A moment, or how long ago (24h), in ISO 8601 with its zone; one without a zone is of this machine's."""
    if (ago := re.fullmatch(r"([0-9]{1,5})([smhd])", text)) is not None:
        return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        how = "Write how long ago (24h, 7d, 30m), or a moment (2026-11-01T00:00Z)."
        raise Failed(f"{text} is no time.", how, code="bad-time") from None
    return (said if said.tzinfo else said.astimezone()).isoformat()
