"""What api does while its neighbours are away."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from shared import topology
from tests.component.api.running import RunningApi, published, running_api
from tests.component.api.story import successful
from tests.polling import eventually
from tests.stack import NatsServer, nats_server


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    """A NATS of the test's own, which it may kill."""
    with nats_server() as running:
        await declare(running)
        yield running


async def declare(server: NatsServer) -> None:
    """Streams and durables."""
    client = await nats.connect(server.url, user="admin", password="test")
    await topology.declare(client.jetstream())
    await client.close()


async def has(server: NatsServer, subject: str) -> bool:
    """Whether the stream EVENTS has a message there."""
    client = await nats.connect(server.url, user="admin", password="test")
    try:
        info = await client.jetstream().stream_info("EVENTS", subjects_filter=subject)
        return bool(info.state.subjects)
    finally:
        await client.close()


async def test_what_is_taken_while_the_bus_is_dead_is_published_later(server: NatsServer, postgres_dsn: str, tmp_path: Path) -> None:
    """Changes are answered while NATS is down, readiness tells of it, and their events are there when it is back."""
    async with running_api(tmp_path, server.url, postgres_dsn) as api:
        server.kill()
        await api.made("/projects/main", slug="todo")

        async def unready() -> bool:
            checks = (await api.client.get(f"{api.url}/readyz")).json()["checks"]
            return bool(checks["bus"] != "ok")

        assert await eventually(unready)
        server.start()

        async def there() -> bool:
            return await has(server, "slipway.evt.main.todo._.catalogue.changed")

        assert await eventually(there, within=30, every=0.2)


async def test_events_that_come_while_api_is_away_are_archived(server: NatsServer, postgres_dsn: str, tmp_path: Path) -> None:
    """They wait in the durable; a reader who comes back finds them."""
    story = successful()
    await published(server.url, *story.events)
    async with running_api(tmp_path, server.url, postgres_dsn) as api:

        async def ended() -> bool:
            response = await api.client.get(f"/deployments/{story.deployment}")
            return response.status_code == 200 and response.json()["deployment"]["state"] == "succeeded"

        assert await eventually(ended)


async def test_a_stream_that_was_cut_goes_on_behind_its_last_event(api_with_story: tuple[RunningApi, str]) -> None:
    """Each event is told once over any number of connections."""
    api, deployment = api_with_story
    told: list[int] = []
    last = ""
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        fields: dict[str, str] = {}
        async with api.client.stream("GET", f"/deployments/{deployment}/stream", headers=headers) as response:
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                fields[name] = value
                if not line and "data" in fields:
                    break
        if fields.get("event") == "end":
            break
        last = fields["id"]
        told.append(int(json.loads(fields["data"])["sequence"]))
    assert told == list(range(1, len(told) + 1))
    assert len(told) > 10


@pytest.fixture
async def api_with_story(server: NatsServer, postgres_dsn: str, tmp_path: Path) -> AsyncIterator[tuple[RunningApi, str]]:
    """Api with one deployment that has ended."""
    story = successful()
    await published(server.url, *story.events)
    async with running_api(tmp_path, server.url, postgres_dsn) as api:

        async def ended() -> bool:
            response = await api.client.get(f"/deployments/{story.deployment}")
            return response.status_code == 200 and bool(response.json()["deployment"]["ended_at"])

        await eventually(ended)
        yield api, story.deployment
