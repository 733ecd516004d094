"""Dead letters: looked at, sent again to the reader that gave them up, dropped."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx

from shared.bus import Bus
from shared.consumer import Received, consume
from shared.contracts.commands import InspectSource, Source
from shared.contracts.events import ChangeTaken, Event, MessageGivenUp
from shared.contracts.facts import Fact, SourceInspected
from shared.contracts.manifest import Manifest
from shared.contracts.places import Place
from shared.contracts.releases import Sealed
from shared.contracts.requests import CancelRequested, DeployRequested
from shared.letters import Delivered, bury
from shared.participant import Participant
from shared.settings import ServiceSettings
from shared.work import Work
from tests.component.api.running import RunningApi, published, service_bus
from tests.polling import eventually
from tests.stack import service_settings

PLACE = Place(organization="main", project="todo", environment="production")


class Reader:
    """A service that does not understand one message until it is mended."""

    def __init__(self, poison: bytes = b"") -> None:
        self.mended = False
        self.poison = poison
        self.taken: list[Received[Any]] = []

    def decode(self, _subject: str, _headers: dict[str, str], body: bytes) -> Any:
        """Raises until it is mended."""
        if not self.mended and self.poison in body:
            raise ValueError("of a newer version: git clone https://bot:canary@forge.example/x")
        return json.loads(body)

    async def handle(self, received: Sequence[Received[Any]]) -> None:
        """Keeps what came."""
        self.taken.extend(received)


@asynccontextmanager
async def reading(bus: Bus, stream: str, durable: str, reader: Reader) -> AsyncIterator[None]:
    """The reader at work."""
    task = asyncio.create_task(consume(bus, stream, durable, reader.decode, reader.handle))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def letters(api: RunningApi, **query: str) -> list[dict[str, Any]]:
    """What the API lists."""
    response = await api.client.get("/deadletters", params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def some(api: RunningApi, count: int = 1, **query: str) -> Callable[[], Any]:
    """A probe for that many letters."""

    async def probe() -> list[dict[str, Any]]:
        found = await letters(api, **query)
        assert len(found) == count, found
        return found

    return probe


async def test_a_letter_comes_again_to_the_reader_that_gave_it_up_and_to_no_other(api: RunningApi, nats_url: str) -> None:
    """Subject, headers and body are what they were; the other readers of the stream do not see it; the audit names who did it."""
    event = Event.of(ChangeTaken(change="c1", deployments=(), ref="refs/heads/main", commit="a" * 40), "main", "todo")
    notifier, webhooks = Reader(b"ChangeTaken"), Reader(b"-")
    webhooks.mended = True
    async with AsyncExitStack() as stack:
        for service, durable, reader in (("notifier", "notifier-events", notifier), ("webhooks", "webhooks-settled", webhooks)):
            bus = await stack.enter_async_context(service_bus(nats_url, service))
            await stack.enter_async_context(reading(bus, "EVENTS", durable, reader))
        await published(nats_url, event)
        (letter,) = await eventually(some(api))
        assert (letter["service"], letter["durable"], letter["subject"]) == ("notifier", "notifier-events", event.subject)
        assert (letter["state"], letter["times"], letter["type"]) == ("dead", 1, "slipway.ChangeTaken.v1")
        notifier.mended = True
        retried = await api.client.post(f"/deadletters/{letter['position']}/retry")
        assert (retried.status_code, retried.json()["state"]) == (202, "retried")

        async def came() -> bool:
            return any(item.message["id"] == event.id for item in notifier.taken)

        await eventually(came)
        (again,) = [item for item in notifier.taken if item.message["id"] == event.id]
        assert again.subject == event.subject
        assert again.headers["ce-id"] == event.id
        assert not [name for name in again.headers if name.startswith("slipway-")]
        assert [item.message["id"] for item in webhooks.taken].count(event.id) == 1
    assert await letters(api, state="dead") == []
    (now,) = await letters(api, state="retried")
    assert (now["retries"], now["decided_by"] is not None) == (1, True)

    async def audited() -> bool:
        entries = (await api.client.get("/audit/main")).json()["items"]
        return any(entry["action"] == "deadletter.retry" and "notifier-events" in entry["details"] for entry in entries)

    await eventually(audited)


async def test_one_that_is_given_up_again_is_the_same_letter(api: RunningApi, nats_url: str) -> None:
    """It waits for a person again, counted twice; each retry is sent, also at once after the other."""
    coordinator = Reader()
    async with service_bus(nats_url, "coordinator") as bus, reading(bus, "REQUESTS", "coordinator-requests", coordinator):
        async with service_bus(nats_url, "api") as sender:
            await sender.publish("slipway.req.main.cancel", CancelRequested(organization="main", subject="p", target_deployment="d"))
        (letter,) = await eventually(some(api))
        for time in (2, 3):
            assert (await api.client.post(f"/deadletters/{letter['position']}/retry")).status_code == 202

            async def dead_again(time: int = time) -> bool:
                (found,) = await letters(api)
                return bool(found["state"] == "dead" and found["times"] == time)

            await eventually(dead_again)
        coordinator.mended = True
        await api.client.post(f"/deadletters/{letter['position']}/retry")

        async def taken() -> bool:
            return [item.message["target_deployment"] for item in coordinator.taken] == ["d"]

        await eventually(taken)
    (found,) = await letters(api)
    assert (found["state"], found["times"], found["retries"]) == ("retried", 3, 3)


async def test_a_command_comes_again_to_its_worker(api: RunningApi, nats_url: str) -> None:
    """One that no worker understood is done when it is sent again, and answered as ever; sealed values are never shown."""
    source = Source(
        connection="c", repository="r", clone_url="https://bot:canary@x", ref="refs/heads/main", commit="0" * 40, password="canary"
    )
    wanted = InspectSource(deployment="d1", step="inspect", place=PLACE, target="local", timeout_s=60, source=source)
    subject = "slipway.cmd.local.builder.effects.d1-inspect.do.1"
    settings = service_settings(ServiceSettings, "builder", nats_url)
    done = asyncio.Event()

    async def inspect(command: InspectSource, _work: Work) -> Fact:
        assert command.source.password == "canary"
        done.set()
        return SourceInspected(manifest=Manifest(), trees={})

    bus = await Bus.connect(settings, "builder")
    working = asyncio.create_task(Participant("builder", settings, bus, {InspectSource: inspect}).run())
    async with service_bus(nats_url, "coordinator") as coordinator:
        await bury(
            bus, Delivered("COMMANDS", "local-builder-effects", subject, wanted.headers("coordinator"), wanted.encode()), KeyError("x")
        )
        (letter,) = await eventually(some(api))
        whole = (await api.client.get(f"/deadletters/{letter['position']}")).text
        assert "canary" not in whole
        assert "refs/heads/main" in whole
        assert (await api.client.post(f"/deadletters/{letter['position']}/retry")).status_code == 202
        await asyncio.wait_for(done.wait(), 10)
        answers = await coordinator.js.pull_subscribe_bind("coordinator-results", "RESULTS")
        (said,) = await answers.fetch(1, timeout=10)
        assert json.loads(said.data)["outcome"] == "done"
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await bus.close()


async def test_nobody_can_forge_what_a_service_gave_up(api: RunningApi, nats_url: str) -> None:
    """What api sends again counts only as the service itself sealed it; anything else is a letter of its own that stays one."""
    coordinator = Reader()
    coordinator.mended = True
    forged = {"slipway-subject": "slipway.req.main.deploy", "slipway-seal": "0" * 64}
    async with service_bus(nats_url, "coordinator") as bus, reading(bus, "REQUESTS", "coordinator-requests", coordinator):
        async with service_bus(nats_url, "api") as sender:
            body = DeployRequested(organization="main", subject="p", place=PLACE).encode()
            await sender.publish_raw("slipway.again.REQUESTS.coordinator-requests.7", body, forged)
        (letter,) = await eventually(some(api))
    assert letter["reason"].startswith("NotOurs")
    assert coordinator.taken == []
    refused = await api.client.post(f"/deadletters/{letter['position']}/retry")
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "not-retriable")


async def test_a_dropped_letter_stays_visible_as_dropped(api: RunningApi, nats_url: str) -> None:
    """It is not sent again, is shown with who dropped it, and stays dropped where it is given up again."""
    lost = Delivered("EVENTS", "notifier-events", "slipway.evt.main.todo._.image.built", {"ce-id": "e1"}, b"nonsense https://u:canary@x")
    async with service_bus(nats_url, "notifier") as bus:
        await bury(bus, lost, ValueError("clone https://u:canary@x failed"))
        (letter,) = await eventually(some(api))
        assert (await api.client.post(f"/deadletters/{letter['position']}/drop")).json()["state"] == "dropped"
        assert (await api.client.post(f"/deadletters/{letter['position']}/retry")).status_code == 409
        await bury(bus, lost, ValueError("again"))

        async def counted() -> bool:
            (found,) = await letters(api)
            return bool(found["times"] == 2)

        await eventually(counted)
    (found,) = await letters(api, state="dropped")
    assert "canary" not in json.dumps(found)
    assert "canary" not in (await api.client.get(f"/deadletters/{found['position']}")).text
    assert (await api.client.get("/deadletters/999")).status_code == 404
    assert (await api.client.post("/deadletters/999/drop")).status_code == 404


async def test_only_an_admin_may(api: RunningApi, nats_url: str) -> None:
    """A deployer neither sees letters nor has them sent again."""
    await api.with_todo()
    token = await api.person("deployer", "organization/main")
    async with service_bus(nats_url, "notifier") as bus:
        await bury(bus, Delivered("EVENTS", "notifier-events", "slipway.evt.x", {}, b"{}"), ValueError("x"))
    (letter,) = await eventually(some(api))
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {token}"}) as other:
        assert (await other.get("/deadletters")).status_code == 403
        assert (await other.get(f"/deadletters/{letter['position']}")).status_code == 403
        for verb in ("retry", "drop"):
            assert (await other.post(f"/deadletters/{letter['position']}/{verb}")).status_code == 403


async def test_people_are_told_once_of_many(api: RunningApi, nats_url: str) -> None:
    """The first letter of a reader is an event; more of it within minutes are not, and a letter about such an event never is."""
    about = MessageGivenUp(letter=1, service="notifier", reason="x")
    async with service_bus(nats_url, "notifier") as bus:
        for number in range(3):
            lost = Delivered("EVENTS", "notifier-events", f"slipway.evt.main._._.x.y{number}", {}, b"{}")
            await bury(bus, lost, ValueError(f"no {number}"))
        lost = Delivered("EVENTS", "webhooks-settled", Event.of(about, "main").subject, {}, Event.of(about, "main").encode())
        await bury(bus, lost, ValueError("no"))
        await bury(bus, Delivered("REQUESTS", "coordinator-requests", "slipway.req.main.deploy", {}, b"{}"), ValueError("last"))
    await eventually(some(api, 5))

    async def told() -> bool:
        events = [item["event"] for item in (await api.client.get("/events", params={"limit": 100})).json()["items"]]
        reasons = [event["data"]["reason"] for event in events if event["name"] == "MessageGivenUp"]
        return reasons == ["ValueError: no 0", "ValueError: last"]

    await eventually(told)
    metrics = (await api.client.get(f"{api.url}/metrics")).text
    assert "slipway_dead_letters_waiting 5.0" in metrics
    home = await api.client.get(f"{api.url}/", headers={"Cookie": f"slipway_token={api.token}"})
    assert "5 messages were given up" in home.text
    await api.with_todo()
    viewer = await api.person("viewer", "project/main/todo")
    assert "given up" not in (await api.client.get(f"{api.url}/", headers={"Cookie": f"slipway_token={viewer}"})).text


async def test_a_letter_with_anything_in_it_is_kept(api: RunningApi, nats_url: str) -> None:
    """Neither U+0000 nor bytes that are no text keep it, or those after it, from being seen; such a one cannot be sent again."""
    async with service_bus(nats_url, "notifier") as bus:
        await bury(bus, Delivered("EVENTS", "notifier-events", "slipway.evt.x", {}, b"\xff\x00{"), ValueError("a\x00b \ud800"))
        await bury(bus, Delivered("EVENTS", "notifier-events", "slipway.evt.y", {"ce-type": "\u202ex"}, b"{}"), ValueError("x"))
    first, _second = await eventually(some(api, 2))
    assert "no text" in first["obstacle"]
    shown = (await api.client.get(f"/deadletters/{first['position']}")).json()
    assert shown["body"].startswith("\ufffd\ufffd")


async def test_sealed_values_of_a_release_are_not_shown(api: RunningApi, nats_url: str) -> None:
    """Which secrets there are is shown; what they are, even sealed, is not."""
    body = json.dumps({"secrets": Sealed(values={"API_KEY": "c2VhbGVk"}).model_dump(), "release": {"service": "web"}}).encode()
    async with service_bus(nats_url, "deployer") as bus:
        await bury(
            bus, Delivered("COMMANDS", "local-deployer-effects", "slipway.cmd.local.deployer.effects.x.do.1", {}, body), OSError("x")
        )
    (letter,) = await eventually(some(api))
    text = (await api.client.get(f"/deadletters/{letter['position']}")).json()["body"]
    assert json.loads(text) == {"secrets": {"values": {"API_KEY": "•••"}}, "release": {"service": "web"}}
