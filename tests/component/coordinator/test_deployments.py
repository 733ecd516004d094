"""Deployments through the real coordinator: changes and requests in, commands and events out."""

import json
from datetime import timedelta

import pytest

from services.coordinator.catalogue import ForgeAway, Unknown
from services.coordinator.saga import DeploymentState
from shared.contracts.answers import Failure
from shared.contracts.changes import FoundBy
from shared.contracts.commands import BuildImage, Command, InspectSource
from shared.contracts.events import DeploymentCreated
from shared.contracts.requests import ApproveRequested, CancelRequested, DeployRequested, RollbackRequested
from shared.messages import new_id
from tests.component.coordinator.world import PLACE, World, world
from tests.unit.coordinator.scenario import fails


async def held(made: World) -> bool:
    """Whether the environment is held by anybody."""
    return bool(await made.coordinator.pool.fetchval("SELECT count(*) FROM deployments WHERE holds"))


async def test_a_push_becomes_a_deployment_that_succeeds(nats_url: str, postgres_dsn: str) -> None:
    """The change is settled, the deployment succeeds, the environment is free and its record is written."""
    async with world(nats_url, postgres_dsn) as made:
        change = await made.push("a")
        done = await made.event("DeploymentSucceeded")
        taken = await made.event("ChangeTaken")
        assert taken.data["change"] == change.id
        assert taken.data["deployments"] == [done.deployment]
        of_it = sorted((event for event in made.events if event.deployment == done.deployment), key=lambda event: event.sequence or 0)
        assert [event.sequence for event in of_it] == list(range(1, len(of_it) + 1))
        assert not await held(made)
        assert await made.coordinator.pool.fetchval("SELECT count(*) FROM outbox WHERE open") == 0
        assert await made.coordinator.pool.fetchval("SELECT epoch FROM environments") == 1


async def test_a_credential_to_clone_is_made_when_it_is_needed(nats_url: str, postgres_dsn: str) -> None:
    """A forge that is away is asked again; what it gives is used as long as it is good, and its refusal ends the deployment."""
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.lives = [ForgeAway("GitHub is away"), timedelta(hours=1)]
        await made.push("a")
        await made.event("DeploymentSucceeded")
        clones = [command for command in made.commands if isinstance(command, InspectSource | BuildImage)]
        assert [(command.step, command.attempt, command.source.password) for command in clones] == [
            ("inspect", 2, "made"),
            ("build-web", 1, "made"),
        ]
        made.catalogue.lives = [Unknown("the app 4711 is not installed on github.com/acme/todo")]
        await made.push("b")
        failed = await made.event("DeploymentFailed")
        assert failed.data["reason"] == "inspect source failed: the app 4711 is not installed on github.com/acme/todo"


async def test_a_failed_candidate_is_rolled_back_with_a_new_epoch(nats_url: str, postgres_dsn: str) -> None:
    """The record stays what it was; the next deployment gets a higher epoch."""
    async with world(nats_url, postgres_dsn) as made:
        await made.push("a")
        first = await made.event("DeploymentSucceeded")
        made.script = fails("check-container-web")
        await made.push("b")
        await made.event("DeploymentRolledBack")
        assert await made.coordinator.pool.fetchval("SELECT deployment FROM environments") == first.deployment
        assert await made.coordinator.pool.fetchval("SELECT epoch FROM environments") == 3
        assert not await held(made)


async def test_the_same_change_twice_is_one_deployment(nats_url: str, postgres_dsn: str) -> None:
    """A change sent again is settled again, and deploys once; the same commit pushed again is ignored with the reason."""
    async with world(nats_url, postgres_dsn) as made:
        change = await made.push("a")
        await made.event("DeploymentSucceeded")
        await made.send(change, message_id="again")
        await made.event("ChangeTaken", count=2)
        await made.push("a")
        ignored = await made.event("ChangeIgnored")
        assert "already" in str(ignored.data["reason"])
        assert await made.coordinator.pool.fetchval("SELECT count(*) FROM deployments") == 1


async def test_a_delivery_read_again_by_hand_deploys_what_was_deployed_before(nats_url: str, postgres_dsn: str) -> None:
    """The commit is the last one taken, or an older one: a person asked for it, so it is a deployment by hand."""
    async with world(nats_url, postgres_dsn) as made:
        older = await made.push("a")
        await made.event("DeploymentSucceeded")
        last = await made.push("b")
        await made.event("DeploymentSucceeded", count=2)
        for number, change in enumerate((last, older), start=3):
            again = {"id": new_id(), "arrival": number, "found_by": FoundBy.REDELIVERY}
            await made.send(change.model_copy(update=again))
            await made.event("DeploymentSucceeded", count=number)
        origins = await made.coordinator.pool.fetch("SELECT origin FROM deployments ORDER BY id")
        assert [json.loads(row["origin"]).get("by_hand", False) for row in origins] == [False, False, True, True]


async def test_a_change_that_nothing_follows_is_ignored_with_the_reason(nats_url: str, postgres_dsn: str) -> None:
    """It is settled all the same."""
    async with world(nats_url, postgres_dsn) as made:
        await made.push("a", ref="refs/heads/näh")
        ignored = await made.event("ChangeIgnored")
        assert "refs/heads/näh" in str(ignored.data["reason"])


async def test_the_newest_of_many_pushes_wins(nats_url: str, postgres_dsn: str) -> None:
    """While one holds the environment, those that queue up behind it give way to the newest."""

    def script(command: Command) -> str | None:
        return "hangs" if command.step == "check-container-web" and command.deployment == first else None

    first = None
    async with world(nats_url, postgres_dsn) as made:
        made.script = script
        await made.push("a")
        first = (await made.event("DeploymentCreated")).deployment
        await made.event("CandidateExposed")
        for commit in "bcd":
            await made.push(commit)
        await made.event("DeploymentSuperseded", count=2)
        await made.request(CancelRequested(organization="main", subject="ada", target_deployment=str(first)))
        await made.event("DeploymentCancelled", first)
        done = await made.event("DeploymentSucceeded")
        created = next(event for event in made.events if event.name == "DeploymentCreated" and event.deployment == done.deployment)
        assert created.data["commit"] == "d" * 40


async def test_a_rollback_returns_to_the_releases_of_a_former_deployment(nats_url: str, postgres_dsn: str) -> None:
    """The same release, by its key, with its image made sure of; the record is the former one again."""
    async with world(nats_url, postgres_dsn) as made:
        await made.push("a")
        await made.event("DeploymentSucceeded")
        made.manifest = made.manifest.model_copy(
            update={"services": {"web": made.manifest.services["web"].model_copy(update={"variables": {"COLOUR": "blue"}})}}
        )
        await made.push("b")
        await made.event("DeploymentSucceeded", count=2)
        before = await made.coordinator.pool.fetchval("SELECT array_agg(record::text ORDER BY position) FROM records")
        await made.request(RollbackRequested(organization="main", subject="ada", place=PLACE))
        back = await made.event("DeploymentSucceeded", count=3)
        created = next(event for event in made.events if event.name == "DeploymentCreated" and event.deployment == back.deployment)
        assert created.data["kind"] == "rollback"
        steps = [command.step for command in made.commands if command.deployment == back.deployment]
        assert "push-web" in steps
        assert "inspect" not in steps
        assert await made.coordinator.pool.fetchval("SELECT record::text FROM environments") == before[0]


async def test_an_unchanged_commit_has_nothing_to_do(nats_url: str, postgres_dsn: str) -> None:
    """Same key, nothing to do: deployed again by hand, no container is touched."""
    async with world(nats_url, postgres_dsn) as made:
        await made.push("a")
        first = await made.event("DeploymentSucceeded")
        await made.request(DeployRequested(organization="main", subject="ada", place=PLACE, again=first.deployment))
        second = await made.event("DeploymentSucceeded", count=2)
        steps = [str(command.step) for command in made.commands if command.deployment == second.deployment]
        assert not [step for step in steps if step.startswith(("deploy-container", "switch", "run-job"))]


@pytest.mark.parametrize("what", ["rollback", "deploy"])
async def test_what_cannot_be_done_is_refused_with_the_reason(nats_url: str, postgres_dsn: str, what: str) -> None:
    """No earlier release, nothing pushed yet."""
    async with world(nats_url, postgres_dsn) as made:
        request = RollbackRequested if what == "rollback" else DeployRequested
        await made.request(request(organization="main", subject="ada", place=PLACE))
        refused = await made.event("RequestRefused")
        assert "yet" in str(refused.data["reason"]) or "no earlier" in str(refused.data["reason"])


async def test_a_stuck_deployment_is_accepted_by_a_person(nats_url: str, postgres_dsn: str) -> None:
    """An undo that keeps failing parks the deployment with the environment held; accepting it lets the next one run."""
    from shared.contracts.requests import AcceptRequested

    def script(command: Command) -> Failure | None:
        if command.step == "expose-web" and command.direction == "undo":
            return Failure(code="x", message="the folder is read-only")
        return fails("check-container-web")(command)  # type: ignore[return-value]

    async with world(nats_url, postgres_dsn, backoff_s=0.01) as made:
        made.script = script
        await made.push("a")
        stuck = await made.event("DeploymentStuck")
        assert await held(made)
        await made.request(AcceptRequested(organization="main", subject="ada", target_deployment=str(stuck.deployment)))
        await made.event("DeploymentRolledBack")
        assert not await held(made)


async def test_an_environment_that_needs_approval_is_waited_for_and_a_roll_back_is_not(nats_url: str, postgres_dsn: str) -> None:
    """A push there waits until somebody lets it go on, which an event confirms; a return to what was let through waits for nobody."""
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.needs_approval = True
        for count, commit in enumerate("ab", 1):
            await made.push(commit)
            waiting = await made.event("ApprovalRequested", count=count)
            wish = ApproveRequested(organization="main", subject="ada", target_deployment=str(waiting.deployment))
            await made.request(wish)
            assert (await made.event("DeploymentApproved", count=count)).cause == wish.id
            await made.event("DeploymentSucceeded", count=count)
        await made.request(RollbackRequested(organization="main", subject="ada", place=PLACE))
        await made.event("DeploymentSucceeded", count=3)
        again = DeployRequested(organization="main", subject="ada", place=PLACE, again=waiting.deployment)
        await made.request(again)
        await made.event("ApprovalRequested", count=3)


async def test_created_says_what_it_is_of(nats_url: str, postgres_dsn: str) -> None:
    """Commit, ref, kind and change are in the first event."""
    async with world(nats_url, postgres_dsn) as made:
        change = await made.push("a")
        event = await made.event("DeploymentCreated")
        fact = event.fact()
        assert isinstance(fact, DeploymentCreated)
        assert (fact.change, fact.commit, fact.ref) == (change.id, "a" * 40, "refs/heads/main")
        assert event.outcome == DeploymentState.AUTHORIZING
