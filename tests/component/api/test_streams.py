"""Live streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from shared.contracts.logs import LogLines
from tests.component.api.running import RunningApi, published, service_bus
from tests.component.api.story import rolled_back, successful
from tests.polling import eventually


@dataclass(frozen=True)
class Sent:
    """One server-sent event."""

    id: str
    event: str
    data: str


async def read(response: httpx.Response) -> AsyncIterator[Sent]:
    """The events of a stream, as the specification says (WHATWG HTML, 9.2)."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line:
            if "data" in fields:
                yield Sent(fields.get("id", ""), fields.get("event", "message"), fields["data"])
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


async def test_a_stream_tells_all_from_the_start_and_ends_with_the_deployment(api: RunningApi, nats_url: str) -> None:
    """What was before and what comes live are told once, in order, with log lines; `end` closes it."""
    story = successful()
    await published(nats_url, *story.events[:6])

    async def known() -> bool:
        return (await api.client.get(f"/deployments/{story.deployment}")).status_code == 200

    await eventually(known)
    seen: list[Sent] = []
    async with api.client.stream("GET", f"/deployments/{story.deployment}/stream") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for sent in read(response):
            seen.append(sent)
            if len(seen) == 6:
                lines = LogLines(deployment=story.deployment, step="build-web", attempt=1, first=1, lines=("one", "two"))
                async with service_bus(nats_url, "builder") as bus:
                    await bus.publish(f"slipway.log.local.{story.deployment}.build-web", lines)
                await published(nats_url, *story.events[6:])
    events = [json.loads(sent.data) for sent in seen if sent.event == "event"]
    assert [event["sequence"] for event in events] == list(range(1, len(story.events) + 1))
    assert [json.loads(sent.data)["text"] for sent in seen if sent.event == "log"] == ["one", "two"]
    assert seen[-1].event == "end"
    assert json.loads(seen[-1].data) == {"state": "succeeded"}
    assert len({sent.id for sent in seen[:-1]}) == len(seen) - 1


async def test_a_stream_goes_on_where_it_was_left(api: RunningApi, nats_url: str) -> None:
    """With Last-Event-ID only what came after is told."""
    story = rolled_back()
    await published(nats_url, *story.events)

    async def ended() -> bool:
        response = await api.client.get(f"/deployments/{story.deployment}")
        return response.status_code == 200 and bool(response.json()["deployment"]["ended_at"])

    await eventually(ended)
    path = f"/deployments/{story.deployment}/stream"
    async with api.client.stream("GET", path) as response:
        whole = [sent async for sent in read(response)]
    async with api.client.stream("GET", path, headers={"Last-Event-ID": whole[4].id}) as response:
        rest = [sent async for sent in read(response)]
    assert rest == whole[5:]


async def test_the_stream_of_all_events_is_filtered(api: RunningApi, nats_url: str) -> None:
    """Names and places filter; it begins with what comes after it was opened."""
    before, after = successful(), successful()
    await published(nats_url, *before.events)

    async def known() -> bool:
        items = (await api.client.get("/deployments")).json()["items"]
        return any(item["id"] == before.deployment and item["ended_at"] for item in items)

    await eventually(known)
    params = {"organization": "main", "name": "ImageBuilt"}
    async with api.client.stream("GET", "/events/stream", params=params) as response:
        publishing = asyncio.create_task(published(nats_url, *after.events))
        async with asyncio.timeout(10):
            sent = await anext(read(response))
        await publishing
    event = json.loads(sent.data)
    assert (event["name"], event["deployment"]) == ("ImageBuilt", after.deployment)


async def test_a_stream_of_nothing_known_is_404(api: RunningApi) -> None:
    """No stream is opened for a deployment that is not there."""
    assert (await api.client.get("/deployments/nothing/stream")).status_code == 404
