"""The header Retry-After, and the rate limits of forges."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.rate_limits import LONGEST, pause, retry_after

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("99999999999", 86400),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("１２", None),
        ("²", None),
        ("inf", None),
        ("nan", None),
        ("9" * 10_000, 86400),
        ("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", None),
        ("Tue, 24 Nov 99999999999999999999 12:00:00 GMT", None),
        ("Tue, 24 Nov 2026 12:00:00 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86400),
    ],
)
def test_it_is_read_as_seconds_or_as_a_date(value: str | None, seconds: int | None) -> None:
    """Nonsense counts as nothing said, and nobody makes us wait for more than a day."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after(value, NOW) == expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, 30),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 600)}, 601),
        ({"ratelimit-remaining": "0", "ratelimit-reset": str(int(NOW.timestamp()) - 5)}, 1),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-remaining": "4999", "x-ratelimit-reset": str(int(NOW.timestamp()) + 600)}, None),
        ({}, None),
    ],
)
def test_a_pause_is_asked_for_outright_or_by_a_limit_that_is_used_up(headers: dict[str, str], seconds: int | None) -> None:
    """Whatever the answer's status: the last request that a forge takes is answered well."""
    assert pause(headers, NOW) == (None if seconds is None else timedelta(seconds=seconds))


_WORDS = ["", "9" * 20, "Mon,", "24", "Jan", "2024", "00:00:00", "GMT", "-1", "+9999", "1-Jan-24", "²", "１２", "inf", "nan", ":", "-", ","]
_SAID = st.text() | st.lists(st.sampled_from(_WORDS), max_size=7).map(" ".join)
_HEADERS = st.sampled_from(("retry-after", "x-ratelimit-reset", "ratelimit-reset"))


@given(_HEADERS, _SAID)
@example("retry-after", "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT")
def test_whatever_a_server_says_nobody_waits_for_more_than_a_day(header: str, said: str) -> None:
    """Nothing that can be written into a header raises."""
    wait = pause({header: said, "x-ratelimit-remaining": "0"}, NOW)
    assert wait is None or timedelta(0) <= wait <= LONGEST
