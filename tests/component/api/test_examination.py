"""What a target is asked through the API: what differs there from its records and from the control plane's; and its mending."""

import httpx
import pytest

from services.api.adapters import targets
from services.api.projection import fold
from services.api.resources.targets import _examined
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.examination import Told
from shared.contracts.releases import DatabaseSpec
from tests.component.api.running import RunningApi, published, service_bus
from tests.component.api.story import FAILURE, Story, successful
from tests.component.api.upkeep import PLACE, STRAY, FakeUpkeep, answering
from tests.polling import eventually

DATABASE = DatabaseSpec(name="main", engine="postgresql", version="18", storage_bytes=1, memory_bytes=1)


async def settled(api: RunningApi, story: Story) -> None:
    """The story's deployment has its page."""

    async def known() -> bool:
        answer = await api.client.get(f"/deployments/{story.deployment}")
        return answer.status_code == 200 and answer.json()["deployment"]["sequence"] == len(story.events)

    await eventually(known)


async def test_differences_are_told_and_mended(api: RunningApi, nats_url: str) -> None:
    """Each is told; an environment is mended by itself, and so is what belongs to none; the audit says who asked."""
    upkeep = FakeUpkeep()
    async with service_bus(nats_url, "deployer") as bus, answering(bus, upkeep):
        found = (await api.client.get("/targets/local/examination")).json()
        assert found["places"] == 1
        assert [each["name"] for each in found["differences"]] == ["todo-web", "service.x.yml"]
        mended = await api.client.post("/targets/local/mend", json={"place": PLACE.model_dump()}, headers={"Idempotency-Key": "k"})
        assert mended.json()["done"] == ["main/todo/production: todo-web started"]
        assert mended.json()["differences"] == []
        left = (await api.client.get("/targets/local/examination")).json()["differences"]
        assert [each["kind"] for each in left] == ["route"]
    entries = (await api.client.get("/audit/main")).json()["items"]

    async def audited() -> bool:
        nonlocal entries
        entries = (await api.client.get("/audit/main")).json()["items"]
        return any(entry["action"] == "target.mend" and "main/todo/production" in entry["details"] for entry in entries)

    await eventually(audited)
    assert (await api.client.get("/targets/none/examination")).status_code == 404


async def test_releases_are_compared_with_what_the_last_deployment_left(api: RunningApi, nats_url: str) -> None:
    """Another release, a missing service and one too many are told of; none of them can be mended without a deployment."""
    await api.with_todo()
    story = successful()
    await published(nats_url, *story.events)
    await settled(api, story)
    wanted = (await api.client.get(f"/deployments/{story.deployment}")).json()["deployment"]["releases"]
    upkeep = FakeUpkeep()
    upkeep.differ, upkeep.live = {}, dict(wanted)
    async with service_bus(nats_url, "deployer") as bus, answering(bus, upkeep):
        assert (await api.client.get("/targets/local/examination")).json()["differences"] == []
        first, *_ = wanted
        upkeep.live = {**wanted, first: "another", "shop": "r9"}
        found = (await api.client.get("/targets/local/examination")).json()["differences"]
        assert {(each["kind"], each["name"], each["mendable"]) for each in found} == {("release", first, False), ("release", "shop", False)}
        upkeep.live, upkeep.differ = {}, {None: [STRAY]}  # as where the target has lost its records: what runs still needs its files
        found = (await api.client.get("/targets/local/examination")).json()["differences"]
        assert {(each["kind"], each["mendable"]) for each in found} == {("route", False), ("release", False)}


async def test_databases_are_compared_with_what_the_last_deployment_left(api: RunningApi, nats_url: str) -> None:
    """One that is missing, an unknown one, and one of another spec; none of them can be mended without a deployment."""
    await api.with_todo()
    story = successful(databases={"main": DATABASE, "more": DATABASE.model_copy(update={"name": "more"})})
    await published(nats_url, *story.events)
    await settled(api, story)
    upkeep = FakeUpkeep()
    upkeep.differ, upkeep.there = {}, dict(story.databases or {})
    async with service_bus(nats_url, "deployer") as bus, answering(bus, upkeep):
        assert (await api.client.get("/targets/local/examination")).json()["differences"] == []
        upkeep.there = {"main": DATABASE.model_copy(update={"memory_bytes": 2}), "shop": DATABASE.model_copy(update={"name": "shop"})}
        found = (await api.client.get("/targets/local/examination")).json()["differences"]
    told = [(each["kind"], each["name"], each["mendable"], each["what"].partition(" deployment ")[0]) for each in found]
    assert told == [
        ("database", "main", False, "has memory bytes 2 in the place of 1, which"),
        ("database", "more", False, "shall be there since"),
        ("database", "shop", False, "is there, and"),
    ]


async def test_databases_are_not_compared_where_nothing_is_known_of_them(api: RunningApi, nats_url: str) -> None:
    """The last deployment ended before events told of them; an older deployer does not tell either."""
    await api.with_todo()
    story = successful()
    await published(nats_url, *story.events)
    await settled(api, story)
    upkeep = FakeUpkeep()
    upkeep.differ, upkeep.there = {}, {"main": DATABASE}
    async with service_bus(nats_url, "deployer") as bus, answering(bus, upkeep):
        assert (await api.client.get("/targets/local/examination")).json()["differences"] == []
    newer = fold(successful(databases={"main": DATABASE}).events)
    assert newer is not None
    older = Told(number=1, last=True, places=(PLACE,), releases={str(PLACE): newer.deployment.releases})
    assert _examined("local", [older], [], [newer.deployment]).differences == []


async def test_a_deployment_that_runs_is_not_disturbed(api: RunningApi, nats_url: str) -> None:
    """Its environment is left out, and not mended."""
    await api.with_todo()
    story = successful()
    at_work = [event for event in story.events if event.sequence is not None and event.name != "DeploymentSucceeded"]
    await published(nats_url, *at_work)

    async def running() -> bool:
        answer = await api.client.get(f"/deployments/{story.deployment}")
        return answer.status_code == 200 and answer.json()["deployment"]["state"] == "running"

    await eventually(running)
    async with service_bus(nats_url, "deployer") as bus, answering(bus, FakeUpkeep()):
        found = (await api.client.get("/targets/local/examination")).json()
        assert [held["deployment"] for held in found["held"]] == [story.deployment]
        assert [each["name"] for each in found["differences"]] == ["service.x.yml"]
        refused = await api.client.post("/targets/local/mend", json={"place": PLACE.model_dump()})
        assert (refused.status_code, story.deployment in refused.json()["detail"]) == (409, True)


async def test_a_nul_in_a_failure_disturbs_nobody(api: RunningApi, nats_url: str) -> None:
    """A program's last lines may hold one; its environment is left out like any other where a deployment is at work."""
    await api.with_todo()
    story = Story()
    story.created()
    story.tell(f.DeploymentAuthorized(person="ada", rule="admin"))
    story.tell(e.DeploymentStarted(epoch=1))
    story.tell(e.CompensationStarted(epoch=2, reason="failed", failure=FAILURE.model_copy(update={"log_tail": ("a\0b",)})))
    waiting = Story()
    waiting.created()
    waiting.tell(f.ApprovalRequested(person="eve", rule="developers ask"))
    await published(nats_url, *story.events, *waiting.events)
    await settled(api, story)
    await settled(api, waiting)
    async with service_bus(nats_url, "deployer") as bus, answering(bus, FakeUpkeep()):
        found = await api.client.get("/targets/local/examination")
        assert found.status_code == 200, found.text
        assert [held["deployment"] for held in found.json()["held"]] == [story.deployment]
        assert (await api.client.post("/targets/local/mend", json={})).status_code == 200


async def test_a_silent_target_is_told_of(api: RunningApi, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there: 504 in time. There, but without its engine: 503 with the reason."""
    monkeypatch.setattr(targets, "PATIENCE_S", 0.2)
    silent = await api.client.get("/targets/local/examination")
    assert (silent.status_code, "did not answer" in silent.json()["detail"]) == (504, True)
    upkeep = FakeUpkeep()
    upkeep.away = True
    async with service_bus(nats_url, "deployer") as bus, answering(bus, upkeep):
        away = await api.client.get("/targets/local/examination")
        assert (away.status_code, "engine does not answer" in away.json()["detail"]) == (503, True)


async def test_only_an_admin_may_mend(api: RunningApi, nats_url: str) -> None:
    """A viewer sees what differs where they may look; nobody but an admin changes it."""
    await api.with_todo()
    token = await api.person("viewer", "organization/main")
    other = httpx.AsyncClient(base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {token}"})
    async with other, service_bus(nats_url, "deployer") as bus, answering(bus, FakeUpkeep()):
        assert (await other.get("/targets/local/examination")).status_code == 200
        assert (await other.post("/targets/local/mend", json={})).status_code == 403
