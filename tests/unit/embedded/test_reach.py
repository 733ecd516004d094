"""Where a server is said to be: never who asks there, however the address is written."""

import pytest

from embedded.reach import place


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://admin:s3cret@bus.lan:4222", "nats://bus.lan:4222"),
        ("nats://s3cret@bus.lan", "nats://bus.lan"),
        ("admin:s3cret@bus.lan:4222", "bus.lan:4222"),
        ("postgresql://slipway:s3cret@db1:5432,db2:5432/slipway?sslmode=require", "postgresql://db1:5432,db2:5432/slipway"),
        ("postgresql://db/slipway?user=slipway&password=s3cret", "postgresql://db/slipway"),
        ("postgresql://slipway:s3cret/#@@db/slipway", "postgresql://db/slipway"),
        ("postgresql://slipway:s3c?ret@db/slipway", "postgresql://…"),
    ],
)
def test_a_server_is_shown_without_who_asks(url: str, shown: str) -> None:
    """Neither user, token nor password, also where one is not encoded as it should be."""
    assert place(url) == shown
