"""The header Retry-After (RFC 9110, section 10.2.3): seconds, or a date. Pure."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(days=1)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait that a receiver asks for, a day at most; None where it says nothing that can be read."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return min(max(at - now, timedelta(0)), LONGEST)
