"""Requests may fail that a blow itself cuts off: those to its hosts, until they are reached again. No others."""

import asyncio
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from bench.load import Connection
from tests.faults.strikes.background import Background
from tests.faults.strikes.checks import requests
from tests.faults.strikes.load import Failed, Load, Outage
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.outages import Outages
from tests.faults.strikes.stream import Lane

OUTAGE = Outage("web.shop", began=100.0, ended=103.0)
LATER, BEFORE = "2999-01-01T00:00:00.5Z", "2001-01-01T00:00:00.5Z"


def failed(at: float, failed_at: float, host: str = "web.shop") -> Failed:
    """A request without a good answer."""
    return Failed(at, host, "/version: 502", failed_at)


@pytest.mark.parametrize(
    "one", [failed(101.0, 101.2), failed(82.0, 100.1), failed(102.9, 120.0)], ids=["within", "under way at the blow", "sent within"]
)
def test_what_a_blow_cuts_off_is_excused(one: Failed) -> None:
    """Whatever was under way at some time of it."""
    assert OUTAGE.excuses(one)


@pytest.mark.parametrize(
    "one",
    [failed(82.0, 99.9), failed(103.1, 103.2), failed(125.0, 125.1), failed(101.0, 101.2, "web.other")],
    ids=["before the blow", "after the return", "long after it", "another host"],
)
def test_what_fails_at_another_time_or_place_is_found(one: Failed) -> None:
    """As where somebody killed the application besides."""
    assert not OUTAGE.excuses(one)
    load = SimpleNamespace(failed=[failed(0.0, 0.1), failed(101.0, 101.2), one])
    assert requests([cast(Load, load)], [1], [OUTAGE]) == [f'1 requests failed: ["{one.host}/version: 502"]']


@pytest.mark.parametrize(
    ("said", "reached"),
    [("200 OK", True), ("502 Bad Gateway", True), ("404 Not Found", False), ("", False)],
    ids=["good", "its application is dead", "no way to it yet", "no answer"],
)
async def test_the_load_balancer_is_back_where_it_has_a_way(said: str, reached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead application behind it excuses nothing longer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n".encode() if said else b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]

    async def connect(_: Load) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", port))

    monkeypatch.setattr(Load, "__post_init__", lambda _: None)
    monkeypatch.setattr(Load, "_connect", connect)
    async with server:
        assert await Load("web.shop", port, "", writes=False).reaches() is reached


class Engine:
    """A container engine of paper: when each container started, and which database lets nobody in."""

    def __init__(self, started: dict[str, str], *, database: str = "ready") -> None:
        self.started, self.database, self.background = started, database, Background()

    def container(self, part: str) -> str:
        """Of the data plane."""
        return part

    def docker(self, *arguments: str) -> str:
        """What it says."""
        match arguments:
            case ("ps", *_):
                return "\n".join(f"{name} {'database' if name == 'db' else 'application'}" for name in self.started if name != "traefik")
            case ("inspect", _, _, name) if name in self.started:
                return f"true {self.started[name]}"
            case ("exec", *_) if self.database == "ready":
                return ""
        raise subprocess.CalledProcessError(1, "docker")


async def reaches() -> bool:
    """The load balancer has a way."""
    return True


LANE = cast(Lane, SimpleNamespace(load=SimpleNamespace(host="web.shop", reaches=reaches), place=SimpleNamespace(project="shop"), rows=True))
ALL_BACK = {"traefik": LATER, "web": LATER, "db": LATER}


@pytest.mark.parametrize(
    ("make", "applications", "returned"),
    [
        (lambda: Engine(ALL_BACK), True, True),
        (lambda: Engine(ALL_BACK | {"traefik": BEFORE}), True, False),
        (lambda: Engine(ALL_BACK | {"web": BEFORE}), True, False),
        (lambda: Engine({"traefik": LATER, "web": LATER}), True, False),
        (lambda: Engine(ALL_BACK, database="reads its log"), True, False),
        (lambda: Engine({"web": LATER}), False, False),
        (lambda: Engine({"traefik": LATER, "web": BEFORE}), False, True),
    ],
    ids=["all", "not the load balancer", "not its program", "not its database", "a database reads", "removed", "only that was killed"],
)
def test_a_host_has_returned_when_all_that_died_runs_again(make: Callable[[], Engine], applications: bool, returned: bool) -> None:
    """What ran before the blow and still seems to is no return."""
    outages = Outages(cast(Machine, make()), [], applications=applications)
    assert list(outages.close()) == []
    assert outages.has_returned(LANE) is returned
