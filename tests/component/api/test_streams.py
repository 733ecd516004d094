"""Live streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.api.resources import tenure
from services.api.store import archive, cdevents
from services.api.store.archive import Archived, Scopes
from services.api.store.places import Reads
from shared.contracts.logs import LogLines
from tests.component.api.running import RunningApi, published, service_bus
from tests.component.api.story import Story, rolled_back, successful
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


async def test_a_deployment_s_stream_ends_with_the_right_to_see_it(api: RunningApi, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that is taken away is taken from streams that are open too, though the token still holds."""
    monkeypatch.setattr(tenure, "RECHECK_S", 0.1)
    story = successful()
    await published(nats_url, *story.events[:6])
    token = await api.person("viewer", "project/main/todo")

    async def known() -> bool:
        return (await api.client.get(f"/deployments/{story.deployment}")).status_code == 200

    await eventually(known)
    headers = {"Authorization": f"Bearer {token}"}
    async with api.client.stream("GET", f"/deployments/{story.deployment}/stream", headers=headers) as response:
        events = read(response)
        for _ in range(6):
            await anext(events)
        await _revoke(api, headers, "project/main/todo")
        async with asyncio.timeout(10):
            assert [sent async for sent in events] == []
    assert (await api.client.get("/me", headers=headers)).status_code == 200


async def test_the_stream_of_all_events_follows_the_roles_of_its_reader(
    api: RunningApi, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a role has gone, what happens there is not told any more; what happens where another holds is. Without any it ends."""
    monkeypatch.setattr(tenure, "RECHECK_S", 0.1)
    headers = {"Authorization": f"Bearer {await api.person('viewer', 'project/main/todo')}"}
    await _grant(api, headers, "project/main/other")
    async with api.client.stream("GET", "/events/stream", headers=headers) as response:
        events = read(response)

        async def told_of_a_round() -> list[str]:
            here, there = Story(project="todo"), Story(project="other")
            here.created()
            there.created()
            publishing = asyncio.create_task(published(nats_url, *here.events, *there.events))
            told = [json.loads((await anext(events)).data)["deployment"]]
            while told[-1] != there.deployment:
                told.append(json.loads((await anext(events)).data)["deployment"])
            await publishing
            return ["other" if deployment == there.deployment else "todo" for deployment in told]

        async with asyncio.timeout(15):
            assert await told_of_a_round() == ["todo", "other"]
            await _revoke(api, headers, "project/main/todo")
            while "todo" in await told_of_a_round():
                pass
            await _revoke(api, headers, "project/main/other")
            assert [sent async for sent in events] == []


async def _grant(api: RunningApi, headers: dict[str, str], resource: str) -> None:
    person = (await api.client.get("/me", headers=headers)).json()["id"]
    granted = await api.client.put(f"/people/{person}/roles", json={"role": "viewer", "resource": resource})
    assert granted.status_code == 200, granted.text


async def _revoke(api: RunningApi, headers: dict[str, str], resource: str) -> None:
    person = (await api.client.get("/me", headers=headers)).json()["id"]
    revoked = await api.client.delete(f"/people/{person}/roles", params={"resource": resource})
    assert revoked.status_code < 300, revoked.text


@pytest.mark.parametrize(
    "scopes", [("quiet", "", ""), ("", "quiet/todo", ""), ("", "", "quiet/todo/production"), ("quiet", "quiet/todo", "")]
)
async def test_who_may_see_little_has_little_looked_at(api: RunningApi, scopes: tuple[str, str, str]) -> None:
    """Among tens of thousands of events the reader's own are found by an index, once each."""
    wanted = [[scope] if scope else [] for scope in scopes]
    busy = "'main', 'todo', 'production'"
    quiet = "'quiet', 'todo', 'production'"
    async with api.opened.parts.pool.acquire() as connection:
        for query, table, columns, values in (
            (archive._EVENTS, "events", "time, name, body", "now(), 'StepStarted', '{}'"),
            (cdevents._AFTER, "cdevents", "kind, body", "'build.finished', '{}'"),
        ):
            for place, many in ((busy, 30_000), (quiet, 3)):
                await connection.execute(
                    f"INSERT INTO {table} (id, organization, project, environment, {columns}) "  # noqa: S608 -- of constants
                    f"SELECT md5($1 || n), {place}, {values} FROM generate_series(1, $2::int) n",
                    place,
                    many,
                )
            await connection.execute(f"ANALYZE {table}")
            for after, found in ((0, 3), (30_010, 0)):
                parameters = (*wanted, after, "", "", "", None, 500)
                assert len(await connection.fetch(query, *parameters)) == found
                (plan,) = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *parameters))
                assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 50


async def test_what_was_looked_at_in_vain_is_not_looked_at_again(api: RunningApi, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads on goes on from where the archive ended, however little of it was for them; and is told what comes for them then."""
    await api.with_todo()
    await api.made("/projects/main", slug="quiet", name="Quiet")
    token = await api.person("viewer", "project/main/quiet")
    looked: list[int] = []
    find = archive.events

    async def events(reads: Reads, scopes: Scopes, after: int, limit: int, **more: Any) -> Sequence[Archived]:
        looked.append(after)
        return await find(reads, scopes, after, limit, **more)

    monkeypatch.setattr(archive, "events", events)
    others, own = successful(), Story(project="quiet")
    own.created()
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": "0"}
    async with api.client.stream("GET", "/events/stream", headers=headers) as response:
        await published(nats_url, *others.events)

        async def passed() -> bool:
            return any(at >= len(others.events) for at in looked)

        await eventually(passed)
        await published(nats_url, *own.events)
        async for sent in read(response):
            told = json.loads(sent.data)
            assert told["project"] == "quiet"
            if told["id"] == own.events[0].id:
                break
