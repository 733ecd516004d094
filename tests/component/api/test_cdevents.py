"""The live stream of CDEvents."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.api.resources.streams import position
from services.notifier.cdevents.mapping import cdevents_of
from services.notifier.cdevents.telling import Telling
from shared.contracts.cdevents import OutsideEvent
from tests.component.api.running import RunningApi, service_bus
from tests.component.api.story import Story, successful
from tests.component.api.test_streams import Sent, read
from tests.polling import eventually


def _of(story: Story) -> list[OutsideEvent]:
    return [told for event in story.events for told in cdevents_of(Telling(event, story.commit, "https://slipway.example"))]


async def _published(nats_url: str, *told: OutsideEvent) -> None:
    async with service_bus(nats_url, "notifier") as bus:
        for one in told:
            await bus.publish(one.bus_subject, one)


@asynccontextmanager
async def _stream(api: RunningApi, since: str = "", token: str = "", **params: str) -> AsyncIterator[AsyncIterator[Sent]]:
    headers = {"Last-Event-ID": since} | ({"Authorization": f"Bearer {token}"} if token else {})
    async with asyncio.timeout(20), api.client.stream("GET", "/cdevents/stream", params=params, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield read(response)


async def test_what_is_kept_is_told_and_goes_on_where_it_was_left(api: RunningApi, nats_url: str) -> None:
    """As structured CloudEvents, each once however often it was published, then live; also where the bus has lost its stream."""
    before, after = _of(successful()), _of(successful())
    await _published(nats_url, *before, before[0])
    async with _stream(api, "0") as sent:
        told = [await anext(sent) for _ in before]
    assert {one.event for one in told} == {"cdevent"}
    events = [json.loads(one.data) for one in told]
    assert [event["id"] for event in events] == [one.id for one in before]
    assert [event["data"] for event in events] == [json.loads(one.encode()) for one in before]
    first = events[0]
    assert (first["specversion"], first["type"], first["source"]) == ("1.0", "dev.cdevents.pipelinerun.queued.0.3.0", "slipway/main/todo")
    assert (first["subject"], first["datacontenttype"]) == (before[0].deployment, "application/json")
    async with _stream(api, told[2].id) as sent:
        rest = [await anext(sent) for _ in before[3:]]
        publishing = asyncio.create_task(_published(nats_url, *after))
        live = [await anext(sent) for _ in after]
        await publishing
    assert rest == told[3:]
    assert [json.loads(one.data)["id"] for one in live] == [one.id for one in after]


async def test_it_is_filtered_and_tells_nobody_of_what_they_may_not_see(api: RunningApi, nats_url: str) -> None:
    """By type and place; a person of one project sees that one only."""
    here = _of(successful())
    other = Story(project="other")
    other.created()
    there = _of(other)
    token = await api.person("viewer", "project/main/other")
    await _published(nats_url, *here, *there)

    async def kept() -> bool:
        return bool(await api.opened.parts.pool.fetchval("SELECT count(*) FROM cdevents") == len(here) + len(there))

    await eventually(kept)
    async with _stream(api, "0", type="pipelinerun.finished", project="todo") as sent:
        assert json.loads((await anext(sent)).data)["data"]["subject"]["content"]["outcome"] == "success"
    async with _stream(api, "0", token=token) as sent:
        assert json.loads((await anext(sent)).data)["source"] == "slipway/main/other"


def test_what_is_no_position_is_none() -> None:
    """One beyond all that there can be is the furthest."""
    assert [position(text) for text in ("", "x", "-1", "0", "7", "9" * 60)] == [None, None, None, 0, 7, 2**63 - 1]
