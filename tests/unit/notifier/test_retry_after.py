"""The header Retry-After."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.providers.retry_after import retry_after

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
    ],
)
def test_it_is_read_as_seconds_or_as_a_date(value: str | None, seconds: int | None) -> None:
    """Nonsense counts as nothing said, and nobody makes us wait for more than a day."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after(value, NOW) == expected
