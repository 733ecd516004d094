"""Messages that are hard to pass on: as large as the bus takes, or with headers that no client sends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from nats.protocol.command import hpub_cmd

from shared.bus import Bus, TooLarge
from shared.consumer import consume
from shared.contracts.answers import Answer
from shared.letters import ERROR, REASON, SUBJECT
from shared.settings import ServiceSettings
from tests.polling import eventually
from tests.stack import service_settings

MOST = 1024 * 1024
SUBJECT_OF_ONE = "slipway.res.local.deployer.d"


async def _one_of(bus: Bus, size: int) -> bool:
    """Whether a message of that size, its headers included, was taken."""
    headers = {"Nats-Msg-Id": f"of-{size}", "size": "ü"}
    own = len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
    try:
        await bus.publish_raw(SUBJECT_OF_ONE, b"x" * (size - own), headers)
    except TooLarge:
        return False
    return True


async def test_headers_count(coordinator: Bus, nats_url: str) -> None:
    """The server closes the connection of whoever sends more than it takes; nobody here does."""
    deployer = await Bus.connect(service_settings(ServiceSettings, "deployer", nats_url), "deployer")
    try:
        sizes = (MOST + 100, MOST + 1, MOST, MOST - 1)
        assert [await _one_of(deployer, size) for size in sizes] == [False, False, True, True]
        assert (await coordinator.nc.jetstream().stream_info("RESULTS")).state.messages == 2
    finally:
        await deployer.close()


async def _large(bus: Bus) -> None:
    assert await _one_of(bus, MOST - 200)


async def _with_odd_headers(bus: Bus) -> None:
    head = "NATS/1.0\r\ngröße: x\r\nsize: ".encode() + b"\xff\r\nfit: yes\r\n\r\n"
    await bus.nc._send_command(hpub_cmd(SUBJECT_OF_ONE, "", head, b"{"))
    await bus.nc.flush()


@pytest.mark.parametrize("send", [_large, _with_odd_headers])
async def test_what_cannot_be_passed_on_as_it_is_is_given_up_all_the_same(
    coordinator: Bus, nats_url: str, send: Callable[[Bus], Awaitable[None]]
) -> None:
    """Without its body where it is too large with the headers of a letter, and without the headers that cannot be sent."""

    async def handle(_batch: object) -> None:
        raise AssertionError("it cannot be decoded")

    def decode(_subject: str, _headers: dict[str, str], body: bytes) -> Answer:
        return Answer.decode(body)

    deployer = await Bus.connect(service_settings(ServiceSettings, "deployer", nats_url), "deployer")
    reading = asyncio.create_task(consume(coordinator, "RESULTS", "coordinator-results", decode, handle))
    try:
        await send(deployer)
        api = await Bus.connect(service_settings(ServiceSettings, "api", nats_url), "api")
        try:
            subscription = await api.js.pull_subscribe_bind("api-deadletters", "DEADLETTERS")
            (letter,) = await subscription.fetch(1, timeout=10)
            await letter.ack()
        finally:
            await api.close()
        headers = letter.headers or {}
        assert (headers[SUBJECT], headers[ERROR]) == (SUBJECT_OF_ONE, "ValidationError")
        large = send is _large
        assert headers[REASON].endswith("the message itself is too large to be kept") is large
        assert (letter.data, headers.get("fit")) == ((b"", None) if large else (b"{", "yes"))
        assert not reading.done()

        async def gone() -> bool:
            info = await coordinator.nc.jetstream().consumer_info("RESULTS", "coordinator-results")
            return bool(info.num_ack_pending == 0)

        await eventually(gone)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await deployer.close()
