"""The pauses that servers ask for: Retry-After (RFC 9110, section 10.2.3), and the rate limits of forges. Pure."""

from collections.abc import Mapping
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
    except (ValueError, OverflowError):  # a number with more digits than any date has
        return None
    if at.tzinfo is None:
        return None
    return min(max(at - now, timedelta(0)), LONGEST)


def pause(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that a forge's answer asks for, also one that was taken as the last for a while; names of headers are in lower case.

    GitHub and Gitea write `x-ratelimit-*`, GitLab and Bitbucket Cloud `ratelimit-*` or the same.
    """
    wait = retry_after(headers.get("retry-after"), now)
    if wait is None and "0" in (headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")):
        wait = _until_reset(headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or "", now)
    return wait


def _until_reset(reset: str, now: datetime) -> timedelta | None:
    if not (reset.isascii() and reset.isdigit()):
        return None
    seconds = int(reset[:12]) - now.timestamp() + 1
    return min(max(timedelta(seconds=seconds), timedelta(seconds=1)), LONGEST)
