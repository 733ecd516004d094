"""Change requests through the real coordinator: previews are deployed, deployed anew, and removed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from services.coordinator.catalogue import Follower
from services.coordinator.change_requests import take_request
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated
from shared.contracts.commands import AuthorizeDeployment, InspectSource, RemoveDatabase, RemoveService
from shared.contracts.events import Event
from shared.contracts.places import EnvironmentKind, Place
from shared.contracts.requests import ApproveRequested, DeployRequested, ExpireRequested
from tests.component.coordinator.world import World, world
from tests.polling import eventually

PREVIEW = Place(organization="main", project="todo", environment="pr-7")


@pytest.fixture
async def made(nats_url: str, postgres_dsn: str) -> AsyncIterator[World]:
    """Change requests into main get previews."""
    async with world(nats_url, postgres_dsn) as running:
        running.catalogue.previews_into = "refs/heads/main"
        yield running


_WAITS = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
"""


def _expired() -> ExpireRequested:
    reason = "nobody has updated it for 7 days"
    return ExpireRequested(organization="main", subject="slipway", subject_name="Slipway", place=PREVIEW, reason=reason)


async def _told(made: World, last: str) -> bool:
    return made.catalogue.told[-1] == last


async def _created(made: World, number: int) -> Event:
    return await made.event("DeploymentCreated", count=number)


async def test_a_preview_comes_is_deployed_anew_and_goes(made: World) -> None:
    """Each change is settled with its deployment; the removal asks nobody, and takes everything away."""
    opened = await made.change_request()
    first = await made.event("DeploymentSucceeded")
    assert first.environment == "pr-7"
    assert first.data["urls"] == ["https://web.pr-7.todo.main.localhost"]
    assert (await _created(made, 1)).data["title"] == "Due dates"
    assert (await made.event("ChangeTaken")).data["change"] == opened.id
    await made.change_request(ChangeRequestUpdated, "b")
    await made.event("DeploymentSucceeded", count=2)
    closed = await made.change_request(ChangeRequestClosed, "b", merged=True, ref="refs/heads/gone")
    last = await made.event("DeploymentSucceeded", count=3)
    created = (await _created(made, 3)).data
    assert (created["kind"], created["title"]) == ("remove", "remove the preview: change request 7 was merged")
    assert (await made.event("ChangeTaken", count=3)).data == {
        "change": closed.id, "deployments": [last.deployment], "ref": "refs/heads/gone", "commit": "b" * 40, "repository": "",
    }  # fmt: skip
    of_removal = [command for command in made.commands if command.deployment == last.deployment]
    assert {type(command) for command in of_removal} == {RemoveService, RemoveDatabase}
    record = await made.coordinator.pool.fetchval("SELECT record::text FROM environments WHERE environment = 'pr-7'")
    assert "web" not in record
    assert "db" not in record
    of = {"repository": opened.repository, "number": "7"}
    assert [(await _created(made, number)).data["change_request"] for number in (1, 2, 3)] == [of] * 3


@pytest.mark.parametrize("kind", [ChangeRequestOpened, ChangeRequestUpdated])
async def test_what_comes_after_its_end_makes_no_preview(made: World, kind: type[ChangeRequestOpened]) -> None:
    """An earlier change that arrives late changes nothing, and no environment is made for it."""
    closed = await made.change_request(ChangeRequestClosed)
    assert "no preview" in str((await made.event("ChangeIgnored")).data["reason"])
    await made.change_request(kind, arrival=closed.arrival - 1)
    assert "newer" in str((await made.event("ChangeIgnored", count=2)).data["reason"])
    assert made.catalogue.previews == {}


async def test_the_same_change_twice_is_one_deployment(made: World) -> None:
    """It is settled again; the same commit told otherwise changes nothing."""
    opened = await made.change_request()
    await made.event("DeploymentSucceeded")
    await made.send(opened, message_id="again")
    await made.event("ChangeTaken", count=2)
    await made.change_request(ChangeRequestUpdated)
    assert "already" in str((await made.event("ChangeIgnored")).data["reason"])
    assert await made.coordinator.pool.fetchval("SELECT count(*) FROM deployments") == 1


async def test_one_that_is_opened_again_gets_its_preview_again(made: World) -> None:
    """Also while it is being removed: the deployment comes after the removal."""
    await made.change_request()
    await made.event("DeploymentSucceeded")
    await made.change_request(ChangeRequestClosed)
    await made.change_request(ChangeRequestOpened)
    await made.event("DeploymentSucceeded", count=3)
    record = await made.coordinator.pool.fetchval("SELECT record::text FROM environments WHERE environment = 'pr-7'")
    assert "web" in record


async def test_what_comes_after_a_removal_is_planned_once_the_catalogue_knows_of_that(made: World) -> None:
    """It may forget the environment then."""
    await made.change_request()
    await made.event("DeploymentSucceeded")
    made.catalogue.behind = True
    await made.change_request(ChangeRequestClosed)
    removal = await made.event("DeploymentSucceeded", count=2)
    await made.change_request(ChangeRequestOpened)

    async def asked_twice() -> bool:
        return made.catalogue.asked_after == [removal.deployment] * 2

    await eventually(asked_twice)
    assert [event.name for event in made.events if event.name == "DeploymentPlanned"] == ["DeploymentPlanned"] * 2
    made.catalogue.behind = False
    await made.event("DeploymentSucceeded", count=3)


async def test_nothing_follows_and_too_many_are_told(made: World) -> None:
    """Both are settled with the reason."""
    await made.change_request(number="1", target="refs/heads/next")
    assert "follows change requests into refs/heads/next" in str((await made.event("ChangeIgnored")).data["reason"])
    made.catalogue.most = 0
    await made.change_request(number="2")
    assert (await made.event("ChangeIgnored", count=2)).data["reason"] == "there are enough"
    made.catalogue.most = 1
    await made.change_request(ChangeRequestUpdated, number="2")  # the same commit: nothing was made of it before
    await made.event("DeploymentSucceeded")


async def test_of_a_fork_nothing_runs_before_each_commit_is_approved(made: World) -> None:
    """Not even its source is inspected; the approval is of one commit."""
    for number, commit in enumerate("ab", start=1):
        kind = ChangeRequestOpened if number == 1 else ChangeRequestUpdated
        await made.change_request(kind, commit, fork=True, ref="refs/pull/7/head")
        waiting = await made.event("ApprovalRequested", count=number)
        assert sum(isinstance(command, InspectSource) for command in made.commands) == number - 1
        assert waiting.deployment is not None
        approval = ApproveRequested(organization="main", subject="ada", subject_name="Ada", target_deployment=waiting.deployment)
        await made.request(approval)
        await made.event("DeploymentSucceeded", count=number)
    asked = [command for command in made.commands if isinstance(command, AuthorizeDeployment)]
    assert [(command.fork, command.ref) for command in asked] == [(True, "refs/pull/7/head")] * 2


async def test_a_waiting_deployment_ends_when_its_change_request_does(made: World) -> None:
    """Nobody can approve it any more."""
    await made.change_request(fork=True, ref="refs/pull/7/head")
    waiting = await made.event("ApprovalRequested")
    await made.change_request(ChangeRequestClosed, fork=True)
    await made.event("DeploymentSuperseded", waiting.deployment)
    assert (await made.event("DeploymentSucceeded")).data["releases"] == {}


async def test_one_that_nobody_updates_is_removed_by_rule(made: World) -> None:
    """Api's wish; what happened and why is in the events."""
    await made.change_request()
    await made.event("DeploymentSucceeded")
    made.catalogue.previews["7"] = replace(made.catalogue.previews["7"], removing=True)
    await made.request(_expired())
    await made.event("DeploymentSucceeded", count=2)
    created = (await _created(made, 2)).data
    assert (created["kind"], created["title"]) == ("remove", "remove the preview: nobody has updated it for 7 days")
    assert created["change_request"] == (await _created(made, 1)).data["change_request"] is not None
    rules = [event.data["rule"] for event in made.events if event.name == "DeploymentAuthorized"]
    assert "time to live" in str(rules[1])


async def test_one_that_was_updated_since_stays(made: World) -> None:
    """Api's wish may be read long after it was written, and after the update."""
    await made.change_request()
    await made.event("DeploymentSucceeded")
    await made.request(_expired())
    assert "updated after" in str((await made.event("RequestRefused")).data["reason"])
    assert await made.coordinator.pool.fetchval("SELECT count(*) FROM deployments") == 1


async def test_of_two_replicas_that_have_its_end_and_its_beginning_the_later_is_told_last(made: World) -> None:
    """Whoever opens it again waits until the catalogue has heard of its end: the preview stays, and is not removed later."""
    opened = await made.change_request()
    await made.event("DeploymentSucceeded")
    closed = ChangeRequestClosed.model_validate(opened.model_dump() | {"id": "closed", "arrival": opened.arrival + 1})
    again = ChangeRequestOpened.model_validate(opened.model_dump() | {"id": "again", "arrival": opened.arrival + 2})
    made.catalogue.answers.clear()
    async with asyncio.TaskGroup() as replicas:
        replicas.create_task(take_request(made.coordinator, closed))
        await eventually(lambda: _told(made, "closed"))
        replicas.create_task(take_request(made.coordinator, again))
        await eventually(lambda: made.coordinator.pool.fetchval(_WAITS))
        made.catalogue.answers.set()
    assert made.catalogue.told == ["opened", "closed", "opened"]
    assert not made.catalogue.previews["7"].removing


async def test_nothing_is_deployed_to_what_follows_change_requests(made: World) -> None:
    """It is what previews are like; the wish is refused with the reason."""
    made.catalogue.previews["7"] = Follower(PREVIEW, EnvironmentKind.PREVIEW, "local", "refs/heads/*", "todo", template=True)
    await made.request(DeployRequested(organization="main", subject="ada", place=PREVIEW))
    assert "each of them gets one like it" in str((await made.event("RequestRefused")).data["reason"])


async def test_an_end_that_comes_late_does_not_take_away_what_was_opened_again(made: World) -> None:
    """It is closed and opened again at the same commit, and the end is told last: the preview stays."""
    opened = await made.change_request()
    await made.event("DeploymentSucceeded")
    await made.change_request(arrival=opened.arrival + 2)
    await made.event("ChangeIgnored")
    await made.change_request(ChangeRequestClosed, arrival=opened.arrival + 1)
    assert "newer" in str((await made.event("ChangeIgnored", count=2)).data["reason"])
    assert made.catalogue.previews != {}


async def test_an_update_that_comes_before_the_news_that_it_was_opened_again_is_deployed(made: World) -> None:
    """It is ignored at first, since the change request is closed; the older news makes it count."""
    opened = await made.change_request()
    await made.event("DeploymentSucceeded")
    await made.change_request(ChangeRequestClosed, arrival=opened.arrival + 1)
    await made.event("DeploymentSucceeded", count=2)
    updated = await made.change_request(ChangeRequestUpdated, "b", arrival=opened.arrival + 3)
    assert "is closed" in str((await made.event("ChangeIgnored")).data["reason"])
    again = await made.change_request(arrival=opened.arrival + 2)
    taken = [(await made.event("ChangeTaken", count=count)).data for count in (3, 4)]
    assert [(one["change"], one["commit"]) for one in taken] == [(again.id, "a" * 40), (updated.id, "b" * 40)]
    (newest,) = cast("list[str]", taken[1]["deployments"])
    await made.event("DeploymentSucceeded", newest)
