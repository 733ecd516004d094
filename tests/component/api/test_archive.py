"""What api keeps of events, logs and dead letters, and how people ask for deployments."""

from collections.abc import Iterable
from functools import partial

import httpx
import pytest

from services.api import archive, projection
from services.api.projection import Pages
from services.api.rebuild import rebuild
from shared.contracts.events import (
    CompensationStarted,
    DeploymentCancelled,
    DeploymentUnstuck,
    Event,
    NotificationAttempted,
    RequestRefused,
)
from shared.contracts.facts import DeploymentApproved, DeploymentDenied, Fact
from shared.contracts.logs import LogLines
from shared.contracts.releases import ReleaseKind
from shared.contracts.requests import DeployRequested
from shared.letters import Delivered, bury
from shared.messages import new_id
from tests.component.api.running import RunningApi, fetched, published, service_bus
from tests.component.api.story import COMMIT, Story, rolled_back, successful
from tests.polling import eventually


async def known(api: RunningApi, deployment: str) -> bool:
    """Whether it has a page."""
    return (await api.client.get(f"/deployments/{deployment}")).status_code == 200


async def ended(api: RunningApi, deployment: str) -> dict[str, object]:
    """The deployment's page once it has ended."""

    async def probe() -> dict[str, object]:
        response = await api.client.get(f"/deployments/{deployment}")
        assert response.status_code == 200
        body: dict[str, object] = response.json()
        found = body["deployment"]
        assert isinstance(found, dict)
        assert found["ended_at"]
        return body

    return await eventually(probe)


async def test_pages_do_not_depend_on_the_order_of_arrival(api: RunningApi, nats_url: str) -> None:
    """Events backwards and twice give the page that the story tells."""
    story = rolled_back()
    await published(nats_url, *reversed(story.events), *story.events[:4])

    async def complete() -> bool:
        events = await api.client.get(f"/deployments/{story.deployment}/events", params={"limit": 500})
        return events.status_code == 200 and len(events.json()["items"]) == len(story.events)

    assert await eventually(complete)
    body = await ended(api, story.deployment)
    deployment, steps = body["deployment"], body["steps"]
    assert isinstance(deployment, dict)
    assert isinstance(steps, list)
    assert deployment["state"] == "rolled_back"
    assert {step["step"]: step["state"] for step in steps}["deploy-container-web"] == "undone"


async def test_attempts_to_tell_of_a_deployment_make_no_page(api: RunningApi, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be tens of thousands: they are archived beside its events, and its page is not made of them, nor anew for them."""
    read: list[str] = []

    def fold(events: Iterable[Event]) -> Pages | None:
        told = list(events)
        read.extend(event.name for event in told)
        return projection.fold(told)

    monkeypatch.setattr(archive, "fold", fold)
    story, unknown = successful(), new_id()
    first = story.events[0]
    fact = NotificationAttempted(channel="c", kind="webhook", about="x", attempt=1, delivered=False)
    place = (first.organization, first.project, first.environment)
    attempts = [Event.of(fact, *place, deployment=deployment) for deployment in (story.deployment, story.deployment, unknown)]
    await published(nats_url, attempts[0], *story.events, *attempts[1:])
    page = await ended(api, story.deployment)

    async def archived() -> bool:
        events = await api.client.get("/events", params={"limit": 500, "name": "NotificationAttempted"})
        return len(events.json()["items"]) == len(attempts)

    await eventually(archived)
    assert not await known(api, unknown)
    assert await rebuild(api.opened.parts.pool) == 1
    assert await ended(api, story.deployment) == page
    assert NotificationAttempted.__name__ not in read


async def test_the_pages_are_made_again_from_the_archive(api: RunningApi, nats_url: str) -> None:
    """A rebuild gives the same pages."""
    stories = [successful(), rolled_back()]
    for story in stories:
        await published(nats_url, *story.events)
    before = [await ended(api, story.deployment) for story in stories]
    pool = api.opened.parts.pool
    await pool.execute("UPDATE deployments SET view = '{}', state = 'lost'")
    assert await rebuild(pool) == 2
    assert [await ended(api, story.deployment) for story in stories] == before


async def test_deployments_are_listed_newest_first_in_pages(api: RunningApi, nats_url: str) -> None:
    """Filters and pages work together."""
    stories = [successful() for _ in range(3)]
    for story in stories:
        await published(nats_url, *story.events)
    await ended(api, stories[-1].deployment)
    first = (await api.client.get("/deployments", params={"limit": 2, "project": "todo"})).json()
    second = (await api.client.get("/deployments", params={"limit": 2, "after": first["next"]})).json()
    ids = [item["id"] for item in [*first["items"], *second["items"]]]
    assert ids == sorted((story.deployment for story in stories), reverse=True)
    assert (await api.client.get("/deployments", params={"project": "other"})).json()["items"] == []


async def test_a_request_leads_to_its_deployment(api: RunningApi, nats_url: str) -> None:
    """202 with where to look; the request is on the bus; its page names the deployment once it exists."""
    await api.with_todo()
    place = {"organization": "main", "project": "todo", "environment": "production"}
    accepted = (await api.made("/deployments", **place, commit=COMMIT)).json()
    request = DeployRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert request.id == accepted["request"]
    assert (request.commit, str(request.place)) == (COMMIT, "main/todo/production")
    assert (await api.client.get(f"/requests/{request.id}")).json()["state"] == "sent"
    story = successful(request.id)
    await published(nats_url, *story.events)
    await ended(api, story.deployment)
    taken = (await api.client.get(f"/requests/{request.id}")).json()
    assert (taken["state"], taken["deployment"]) == ("taken", story.deployment)


async def test_a_refused_request_says_why(api: RunningApi, nats_url: str) -> None:
    """The page has the coordinator's reason."""
    await api.with_todo()
    accepted = (await api.made("/environments/main/todo/production/rollback")).json()
    fact = RequestRefused(request=accepted["request"], reason="nothing to return to")
    await published(nats_url, Event.of(fact, "main", "todo", "production"))

    async def refused() -> bool:
        page = (await api.client.get(f"/requests/{accepted['request']}")).json()
        return bool(page["state"] == "refused" and page["refusal"] == "nothing to return to")

    assert await eventually(refused)


@pytest.mark.parametrize(
    ("verb", "fact"),
    [
        ("cancel", DeploymentCancelled(by="zoe")),
        ("cancel", CompensationStarted(epoch=2, reason="cancelled by zoe")),
        ("approve", DeploymentApproved(by="zoe")),
        ("approve", DeploymentDenied(rule="not approved", reason="no")),
        ("retry", DeploymentUnstuck(by="zoe", action="retry")),
        ("accept", DeploymentUnstuck(by="zoe", action="accept")),
    ],
)
async def test_a_wish_about_a_deployment_is_done_when_an_event_confirms_it(api: RunningApi, nats_url: str, verb: str, fact: Fact) -> None:
    """The event that it caused tells; another one of that name does not."""
    await api.with_todo()
    story = Story()
    story.created()
    await published(nats_url, *story.events)
    await eventually(partial(known, api, story.deployment))
    first, second = [(await api.made(f"/deployments/{story.deployment}/{verb}")).json()["request"] for _ in range(2)]
    assert (await api.client.get(f"/requests/{first}")).json()["state"] == "sent"
    await published(nats_url, story.tell(fact, cause=first))

    async def done() -> bool:
        return bool((await api.client.get(f"/requests/{first}")).json()["state"] == "done")

    assert await eventually(done)
    assert (await api.client.get(f"/requests/{second}")).json()["state"] == "sent"


async def test_what_people_may_do_to_a_deployment(api: RunningApi, nats_url: str) -> None:
    """Cancel, approve, retry and accept are taken for a known deployment, and 404 for another."""
    await api.with_todo()
    story = successful()
    await published(nats_url, *story.events)
    await ended(api, story.deployment)
    for verb in ("cancel", "approve", "retry", "accept"):
        assert (await api.client.post(f"/deployments/{story.deployment}/{verb}")).status_code == 202
        assert (await api.client.post(f"/deployments/{new_id()}/{verb}")).status_code == 404


async def test_a_removed_environment_leaves_the_catalogue(api: RunningApi, nats_url: str) -> None:
    """Its entry goes when the removal has succeeded, and not before."""
    await api.with_todo()
    accepted = await api.client.delete("/environments/main/todo/production")
    assert accepted.status_code == 202
    assert (await api.client.get("/environments/main/todo/production")).status_code == 200
    story = successful(accepted.json()["request"], ReleaseKind.REMOVE)
    await published(nats_url, *story.events)

    async def gone() -> bool:
        return (await api.client.get("/environments/main/todo/production")).status_code == 404

    assert await eventually(gone)


async def test_log_lines_are_kept_once_and_in_order(api: RunningApi, nats_url: str) -> None:
    """A batch that comes twice is kept once; pages and tails work; NUL does no harm."""
    story = successful()
    await published(nats_url, *story.events)
    await ended(api, story.deployment)
    batches = [
        LogLines(
            deployment=story.deployment, step="build-web", attempt=1, first=1 + 10 * n, lines=tuple(f"line {n}.{i}" for i in range(10))
        )
        for n in range(3)
    ]
    odd = LogLines(deployment=story.deployment, step="run-job-migrate", attempt=1, first=1, lines=("a\x00b ✓",))
    async with service_bus(nats_url, "builder") as bus:
        for batch in (*batches, batches[0], odd):
            await bus.publish(f"slipway.log.local.{batch.deployment}.{batch.step}", batch, message_id=new_id())

    async def all_there() -> bool:
        page = (await api.client.get(f"/deployments/{story.deployment}/logs", params={"limit": 500})).json()
        return len(page["items"]) == 31

    assert await eventually(all_there)
    path = f"/deployments/{story.deployment}/logs"
    first = (await api.client.get(path, params={"limit": 25, "step": "build-web"})).json()
    second = (await api.client.get(path, params={"limit": 25, "step": "build-web", "after": first["next"]})).json()
    assert [line["number"] for line in [*first["items"], *second["items"]]] == list(range(1, 31))
    tail = (await api.client.get(path, params={"tail": 2, "step": "build-web"})).json()["items"]
    assert [line["text"] for line in tail] == ["line 2.8", "line 2.9"]
    job = (await api.client.get(path, params={"step": "run-job-migrate"})).json()["items"]
    assert job[0]["text"] == "a\ufffdb ✓"


async def test_attempts_and_dead_letters_are_shown(api: RunningApi, nats_url: str) -> None:
    """Every attempt to tell somebody, and every message that was given up, can be looked at."""
    attempt = NotificationAttempted(channel="chat", kind="chat", about="e1", attempt=1, delivered=False, error="503")
    async with service_bus(nats_url, "notifier") as bus:
        event = Event.of(attempt, "main")
        await bus.publish(event.subject, event)
        await bury(bus, Delivered("EVENTS", "notifier-events", "slipway.evt.x", {}, b"\xff{"), ValueError("not JSON"))

    async def shown() -> bool:
        attempts = (await api.client.get("/events/attempts/main", params={"channel": "chat"})).json()["items"]
        letters = (await api.client.get("/deadletters")).json()["items"]
        return bool(attempts and letters and letters[0]["reason"] == "ValueError: not JSON" and letters[0]["service"] == "notifier")

    assert await eventually(shown)


async def test_nobody_sees_deployments_of_others(api: RunningApi, nats_url: str) -> None:
    """Somebody without a role there gets 404, and no event in any list."""
    await api.with_todo()
    await api.made("/projects/main", slug="other")
    token = await api.person("admin", "project/main/other")
    story = successful()
    await published(nats_url, *story.events)
    await ended(api, story.deployment)
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {token}"}) as other:
        assert (await other.get(f"/deployments/{story.deployment}")).status_code == 404
        assert (await other.post(f"/deployments/{story.deployment}/cancel")).status_code == 404
        assert (await other.get("/deployments")).json()["items"] == []
        seen = (await other.get("/events")).json()["items"]
    assert {item["event"]["project"] for item in seen} == {"other"}


async def test_a_bad_event_does_not_hold_up_the_others(api: RunningApi, nats_url: str) -> None:
    """What is no event goes to the dead letters, and the archive goes on."""
    async with service_bus(nats_url, "coordinator") as bus:
        await bus.publish_raw("slipway.evt.main.todo.production.image.built", b"not json", {})
    story = Story()
    story.created()
    await published(nats_url, *story.events)

    async def there() -> bool:
        return (await api.client.get(f"/deployments/{story.deployment}")).status_code == 200

    assert await eventually(there)
