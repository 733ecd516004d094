"""Subscribers: kept by api, let in by whoever administers the bus, and never able to read more than their organization's events."""

import json
from pathlib import Path

import bcrypt
import nats
import pytest
from nats.js import JetStreamContext

from embedded.subscribers import Admission
from services.api import subscriptions
from services.api.store import subscribers
from shared.contracts.events import CatalogueChanged, Event
from shared.subscribers import Subscribers
from tests.component.api.running import RunningApi, published
from tests.polling import eventually

EVERYTHING = ["slipway.evt.main.>"]


def file_of(api: RunningApi) -> Path:
    """What whoever administers the bus reads."""
    return api.home.subscribers


async def let_in(api: RunningApi, nats_url: str) -> None:
    """The administrator's part: consumers as the file says. The test server's users are what they are."""

    async def settled() -> bool:
        return await Admission(file_of(api), nats_url, "admin", "test", None).settle()

    await eventually(settled, within=30)


async def known(api: RunningApi, *names: str) -> Subscribers:
    """The file, once it names these."""

    async def named() -> Subscribers | None:
        found = Subscribers.model_validate_json(file_of(api).read_bytes())
        return found if tuple(each.name for each in found.subscribers) == names else None

    found = await eventually(named)
    assert found is not None
    return found


async def test_a_password_is_shown_once_and_kept_as_a_hash(api: RunningApi) -> None:
    """Neither the database, nor the file, nor any later answer has it."""
    made = (await api.made("/subscribers/main", name="scanner", filters=EVERYTHING)).json()
    (only,) = (await known(api, "scanner")).subscribers
    assert bcrypt.checkpw(made["password"].encode(), only.password_hash.encode())
    assert made["connection"] == {
        "url": api.settings.nats_url, "user": "sub_main_scanner", "stream": "EVENTS", "consumer": "sub_main_scanner",
        "inbox_prefix": "_INBOX_sub_main_scanner",
    }  # fmt: skip
    assert made["server_entry"] == ""
    shown = (await api.client.get("/subscribers/main/scanner")).json()
    listed = (await api.client.get("/subscribers/main")).json()["items"]
    for text in (json.dumps(shown), json.dumps(listed), file_of(api).read_text()):
        assert made["password"] not in text
    assert file_of(api).stat().st_mode & 0o777 == 0o600
    again = await api.client.post("/subscribers/main", json={"name": "scanner", "filters": EVERYTHING})
    assert again.status_code == 409


async def test_it_is_ready_once_it_was_let_in_and_gone_when_it_was_removed(api: RunningApi, nats_url: str) -> None:
    """What waits for it is told; removed, nobody of that name may come in."""
    await api.made("/subscribers/main", name="scanner", filters=EVERYTHING, from_start=True)
    await known(api, "scanner")
    assert (await api.client.get("/subscribers/main/scanner")).json()["ready"] is False
    await let_in(api, nats_url)
    await published(nats_url, Event.of(CatalogueChanged(kind="project", name="x", action="created"), "main", "x"))

    async def waits() -> bool:
        shown = (await api.client.get("/subscribers/main/scanner")).json()
        return bool(shown["ready"] and shown["waiting"] > 0 and shown["unacknowledged"] == 0)

    await eventually(waits)
    assert (await api.client.delete("/subscribers/main/scanner")).status_code == 204
    await known(api)
    assert (await api.client.get("/subscribers/main/scanner")).status_code == 404
    assert (await api.client.delete("/subscribers/main/scanner")).status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"filters": ["slipway.evt.other.>"]}, "bad-filter"),
        ({"filters": ["slipway.cmd.>"]}, "bad-filter"),
        ({"filters": ["slipway.evt.main.>", "cdevents.main.>"]}, "bad-filter"),
        ({"filters": EVERYTHING, "since": "2026-11-01T00:00:00Z", "from_start": True}, "two-starts"),
        ({"filters": []}, "invalid"),
        ({"filters": EVERYTHING, "since": "2026-11-01T00:00:00"}, "invalid"),
    ],
)
async def test_what_a_subscriber_cannot_be_is_said(api: RunningApi, body: dict[str, object], code: str) -> None:
    """With what it may be."""
    answer = await api.client.post("/subscribers/main", json={"name": "scanner", **body})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(code)


async def test_only_an_admin_of_the_organization_has_subscribers(api: RunningApi) -> None:
    """Neither a deployer nor an admin of one project: it reads the whole organization's events."""
    await api.with_todo()
    for role, resource in (("deployer", "organization/main"), ("admin", "project/main/todo")):
        token = {"Authorization": f"Bearer {await api.person(role, resource)}"}
        made = await api.client.post("/subscribers/main", json={"name": "scanner", "filters": EVERYTHING}, headers=token)
        assert made.status_code == 403, role
        assert (await api.client.get("/subscribers/main", headers=token)).status_code == 403


async def test_how_far_it_has_read_is_noted(api: RunningApi, nats_url: str) -> None:
    """By time, so that its consumer can begin there in a stream that had to be made again; never back in time."""
    await api.made("/subscribers/main", name="scanner", filters=["slipway.evt.main.x.>"], from_start=True)
    await known(api, "scanner")
    await let_in(api, nats_url)
    await published(nats_url, Event.of(CatalogueChanged(kind="project", name="x", action="created"), "main", "x"))
    parts = api.opened.parts
    await subscriptions.note_once(parts.pool, parts.consumers)
    before = await subscribers.get(parts.pool, "main", "scanner")
    assert before is not None
    assert before.read_until is None
    js = await _admin(nats_url)
    reader = await js.pull_subscribe_bind("sub_main_scanner", "EVENTS")
    (message,) = await reader.fetch(1, timeout=10)
    await message.ack_sync()
    await subscriptions.note_once(parts.pool, parts.consumers)
    after = await subscribers.get(parts.pool, "main", "scanner")
    assert after is not None
    assert after.read_until is not None
    assert abs((after.read_until - message.metadata.timestamp).total_seconds()) < 0.001
    parts.wakeups.wake()

    async def begins_there() -> bool:
        return (await known(api, "scanner")).subscribers[0].start == after.read_until

    await eventually(begins_there)
    await js._nc.close()


async def _admin(nats_url: str) -> JetStreamContext:
    return (await nats.connect(nats_url, user="admin", password="test")).jetstream()
