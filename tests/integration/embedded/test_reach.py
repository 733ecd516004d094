"""Somebody else's servers that cannot be used are said with their address and the reason, as soon as that is sure."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from embedded.database import why_not_accepted
from embedded.nats import why_not_ready
from embedded.reach import Server, ServerUnusable, until_it_answers
from tests.stack import free_port

UNREADABLE = "this address cannot be read; write / # ? @ in user and password as %2F %23 %3F %40"
Attempt = Callable[[], Awaitable[Exception | None]]


async def said(server: Server, attempt: Attempt, *, within: float) -> str:
    """Why it is given up, which takes no longer than so many seconds."""
    began = time.monotonic()
    with pytest.raises(ServerUnusable) as given_up:
        await until_it_answers(server, attempt)
    assert time.monotonic() - began < within
    return str(given_up.value)


async def test_a_server_that_says_no_is_given_up_at_once(nats_url: str, postgres_dsn: str) -> None:
    """Wrong passwords, and a database that is not there."""
    bus = nats_url.replace("//", "//admin:s3cret@")
    words = await said(Server("NATS", bus, "SLIPWAY_NATS_URL"), partial(why_not_ready, bus, "admin", "s3cret"), within=5)
    assert words == f"NATS at {nats_url} (SLIPWAY_NATS_URL) cannot be used: nats: 'Authorization Violation'."
    address = postgres_dsn.rpartition("@")[2]
    host = address.partition("/")[0]
    for dsn, shown, reason in (
        (f"postgresql://nobody:s3cret@{address}", address, 'password authentication failed for user "nobody"'),
        (f"{postgres_dsn.rpartition('/')[0]}/none", f"{host}/none", 'database "none" does not exist'),
        (f"postgresql://slipway:s3#cret@{address}", address, UNREADABLE),
    ):
        words = await said(Server("PostgreSQL", dsn, "SLIPWAY_POSTGRES_DSN"), partial(why_not_accepted, dsn), within=5)
        assert words == f"PostgreSQL at postgresql://{shown} (SLIPWAY_POSTGRES_DSN) cannot be used: {reason}."


async def test_a_refused_connection_is_given_up_after_seconds() -> None:
    """Not at once: after the machine's own start it may be a moment behind us."""
    place = f"127.0.0.1:{free_port()}"
    dsn = f"postgresql://slipway:s3cret@{place}/slipway"
    words = await said(Server("PostgreSQL", dsn, "SLIPWAY_POSTGRES_DSN"), partial(why_not_accepted, dsn), within=15)
    assert words == f"PostgreSQL at postgresql://{place}/slipway (SLIPWAY_POSTGRES_DSN) cannot be used: the connection is refused."
