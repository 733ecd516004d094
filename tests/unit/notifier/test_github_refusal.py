"""What GitHub's answers mean."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.notifier.guarded_http import Response
from services.notifier.providers.contract import Outcome
from services.notifier.providers.github import refusal

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RESET = str(int(NOW.timestamp()) + 600)
SECONDARY = b'{"message": "You have exceeded a secondary rate limit."}'


@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome", "wait", "hold"),
    [
        (403, {"retry-after": "30"}, SECONDARY, Outcome.RETRY, 30, True),
        (403, {}, SECONDARY, Outcome.RETRY, 60, True),
        (429, {}, b"", Outcome.RETRY, 60, True),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": RESET}, b"", Outcome.RETRY, 601, True),
        (403, {"x-ratelimit-remaining": "0"}, b"", Outcome.RETRY, None, False),
        (403, {"x-ratelimit-remaining": "4999"}, b"Resource not accessible", Outcome.RETRY, None, False),
        (401, {}, b"Bad credentials", Outcome.RETRY, None, False),
        (502, {}, b"", Outcome.RETRY, None, False),
        (503, {"retry-after": "7"}, b"", Outcome.RETRY, 7, False),
        (422, {}, b"No commit found for SHA", Outcome.HOPELESS, None, False),
        (409, {}, b"Conflict merging", Outcome.HOPELESS, None, False),
    ],
)
def test_rate_limits_wait_and_what_cannot_be_is_given_up(
    status: int,
    headers: dict[str, str],
    body: bytes,
    outcome: Outcome,
    wait: float | None,
    hold: bool,
) -> None:
    """A rate limit holds the whole channel, for as long as GitHub says."""
    verdict = refusal(Response(status, httpx.Headers(headers), body), NOW)
    expected = None if wait is None else timedelta(seconds=wait)
    assert (verdict.outcome, verdict.wait, verdict.hold, verdict.status) == (outcome, expected, hold, status)
