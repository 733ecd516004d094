"""Moments as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.failures import Failed
from cli.moments import moment


@pytest.mark.parametrize(("text", "ago"), [("30s", timedelta(seconds=30)), ("24h", timedelta(hours=24)), ("7d", timedelta(days=7))])
def test_how_long_ago(text: str, ago: timedelta) -> None:
    """Counted from now."""
    assert abs(datetime.now(UTC) - ago - datetime.fromisoformat(moment(text))) < timedelta(seconds=10)


def test_a_moment_with_its_zone() -> None:
    """As ISO 8601 has it; one without a zone gets this machine's."""
    assert datetime.fromisoformat(moment("2026-11-01T00:00Z")) == datetime(2026, 11, 1, tzinfo=UTC)
    assert datetime.fromisoformat(moment("2026-11-01")).tzinfo is not None


@pytest.mark.parametrize("text", ["", "yesterday", "24", "h", "-1h", "9999999h", "0001-01-01"])
def test_what_is_no_time_is_said(text: str) -> None:
    """With what can be written instead."""
    with pytest.raises(Failed, match="no time"):
        moment(text)
