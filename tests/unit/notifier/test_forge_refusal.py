"""What forges' answers mean."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.notifier.providers.contract import Outcome
from services.notifier.providers.forges.api import refusal
from shared.guarded_http import Response

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
        (429, {"ratelimit-remaining": "0", "ratelimit-reset": RESET}, b"Retry later", Outcome.RETRY, 601, True),
        (429, {"retry-after": "30", "ratelimit-remaining": "0", "ratelimit-reset": RESET}, b"Retry later", Outcome.RETRY, 30, True),
        (403, {"x-ratelimit-remaining": "0"}, b"", Outcome.REFUSED, None, False),
        (403, {"x-ratelimit-remaining": "4999"}, b"Resource not accessible", Outcome.REFUSED, None, False),
        (401, {}, b"Bad credentials", Outcome.REFUSED, None, False),
        (408, {}, b"", Outcome.RETRY, None, False),
        (404, {}, b"Not Found", Outcome.HOPELESS, None, False),
        (301, {"location": "https://git.example/acme/new"}, b"", Outcome.HOPELESS, None, False),
        (400, {}, b"bad request", Outcome.HOPELESS, None, False),
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
    """A rate limit holds the whole channel, for as long as the forge says; a token that is not taken makes it rest."""
    verdict = refusal("GitHub", Response(status, httpx.Headers(headers), body), NOW)
    expected = None if wait is None else timedelta(seconds=wait)
    assert (verdict.outcome, verdict.wait, verdict.hold, verdict.status) == (outcome, expected, hold, status)


@pytest.mark.parametrize(
    ("status", "headers", "advice"),
    [
        (401, {}, "give the channel another"),
        (403, {}, "docs/forges.md"),
        (404, {}, "may not see it"),
        (301, {"location": "https://git.example/acme/new"}, "'https://git.example/acme/new'"),
    ],
)
def test_the_forges_words_come_with_what_to_do(status: int, headers: dict[str, str], advice: str) -> None:
    """Where the status says it."""
    error = refusal("Gitea", Response(status, httpx.Headers(headers), b"its words"), NOW).error
    assert error.startswith(f"Gitea answered {status}: its words (")
    assert advice in error
