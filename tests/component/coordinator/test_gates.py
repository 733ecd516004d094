"""Gates through the real coordinator: asked by an event, answered by a request, decided by the database's clock."""

import pytest

from shared.contracts.events import GateFailed, GateRequested
from shared.contracts.gates import Before, Gate, Verdict
from shared.contracts.requests import AnswerRequested, ApproveRequested, CancelRequested, RollbackRequested
from shared.messages import utc_now
from tests.component.coordinator.test_deployments import held
from tests.component.coordinator.world import PLACE, World, world


def gate(before: Before, *, name: str = "scanner", deadline_s: float = 60, default: Verdict = "fail") -> Gate:
    """One of the environment's."""
    return Gate(name=name, id=f"id-{name}", before=before, deadline_s=deadline_s, default=default)


async def answer(made: World, deployment: str | None, result: Verdict, **more: object) -> AnswerRequested:
    """As api writes it, with its database's time: the same server's."""
    given: dict[str, object] = {
        "organization": "main", "subject": "gate/main/scanner", "subject_name": "gate scanner", "target_deployment": deployment,
        "gate": "scanner", "gate_id": "id-scanner", "result": result, "reason": "CVE-1", "time": utc_now(),
    }  # fmt: skip
    request = AnswerRequested.model_validate(given | more)
    await made.request(request)
    return request


async def test_a_gate_is_asked_and_its_answer_is_in_the_record(nats_url: str, postgres_dsn: str) -> None:
    """On a subject that ends with its name; the answer's event names the request that brought it."""
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.gates = (gate(Before.DEPLOY),)
        await made.push("a")
        asked = await made.event("GateRequested")
        fact = asked.fact()
        assert isinstance(fact, GateRequested)
        assert fact.images["web"].startswith("registry/web@sha256:")
        assert asked.subject == "slipway.evt.main.todo.production.gate.requested.scanner"
        assert not await held(made)
        request = await answer(made, asked.deployment, "pass")
        passed = await made.event("GatePassed")
        assert (passed.cause, passed.data["by"], passed.data["reason"]) == (request.id, "gate scanner", "CVE-1")
        await made.event("DeploymentSucceeded")


async def test_a_no_with_the_environment_held_takes_everything_back(nats_url: str, postgres_dsn: str) -> None:
    """The record stays what it was, and the environment is free again."""
    async with world(nats_url, postgres_dsn) as made:
        await made.push("a")
        first = await made.event("DeploymentSucceeded")
        made.catalogue.gates = (gate(Before.SWITCH),)
        await made.push("b")
        asked = await made.event("GateRequested")
        assert await held(made)
        states = {
            row["state"]: row["count"] for row in await made.coordinator.pool.fetch("SELECT state, count(*) FROM deployments GROUP BY 1")
        }
        assert states == {"succeeded": 1, "waiting": 1}
        await answer(made, asked.deployment, "fail")
        await made.event("DeploymentRolledBack")
        assert await made.coordinator.pool.fetchval("SELECT deployment FROM environments") == first.deployment
        assert not await held(made)


async def test_the_timer_of_a_gate_is_the_databases(nats_url: str, postgres_dsn: str) -> None:
    """Nobody answers, and the coordinator that asked is gone: another one applies the default."""
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.gates = (gate(Before.BUILD, deadline_s=3),)
        await made.push("a")
        await made.event("GateRequested")
    async with world(nats_url, postgres_dsn) as again:
        failed = (await again.event("GateFailed")).fact()
        assert isinstance(failed, GateFailed)
        assert (failed.defaulted, failed.by) == (True, "")
        await again.event("DeploymentFailed")


async def test_what_does_not_count_is_refused_with_the_reason(nats_url: str, postgres_dsn: str) -> None:
    """Of another gate of that name, of a gate that is not asked, too late, of another organization, twice; and an approval is no answer."""
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.gates = (gate(Before.BUILD, deadline_s=3600),)
        await made.push("a")
        asked = await made.event("GateRequested")
        wrong: tuple[tuple[dict[str, object], str], ...] = (
            ({"gate_id": "another"}, "asks another gate of the name scanner"),
            ({"gate": "ticket"}, "does not ask the gate ticket"),
            ({"organization": "other"}, "there is no deployment"),
            ({"target_deployment": "01nothing"}, "there is no deployment"),
        )
        for count, (more, why) in enumerate(wrong, start=1):
            request = await answer(made, asked.deployment, "pass", **more)
            refused = await made.event("RequestRefused", count=count)
            assert refused.data["request"] == request.id
            assert why in str(refused.data["reason"])
        approval = ApproveRequested(organization="main", subject="ada", target_deployment=str(asked.deployment))
        await made.request(approval)
        assert "waits for gates" in str((await made.event("RequestRefused", count=5)).data["reason"])
        await answer(made, asked.deployment, "pass")
        await made.event("DeploymentSucceeded")
        await answer(made, asked.deployment, "fail")
        assert "has ended already" in str((await made.event("RequestRefused", count=6)).data["reason"])


async def test_what_waits_before_the_lock_gives_way_and_what_waits_with_it_does_not(nats_url: str, postgres_dsn: str) -> None:
    """A newer push takes the place of the one; it queues behind the other, which can be cancelled."""
    async with world(nats_url, postgres_dsn) as made:
        made.catalogue.gates = (gate(Before.DEPLOY),)
        await made.push("a")
        first = await made.event("GateRequested")
        made.catalogue.gates = (gate(Before.SWITCH),)
        await made.push("b")
        superseded = await made.event("DeploymentSuperseded", first.deployment)
        second = await made.event("GateRequested", str(superseded.data["by"]))
        made.catalogue.gates = ()
        await made.push("c")
        third = await made.event("DeploymentQueued", count=2)
        assert third.deployment != second.deployment
        await made.request(CancelRequested(organization="main", subject="ada", target_deployment=str(second.deployment)))
        await made.event("DeploymentCancelled", second.deployment)
        await made.event("DeploymentSucceeded", third.deployment)


@pytest.mark.parametrize("before", [Before.BUILD, Before.SWITCH])
async def test_a_roll_back_asks_nobody(nats_url: str, postgres_dsn: str, before: Before) -> None:
    """What it returns to was let through before."""
    async with world(nats_url, postgres_dsn) as made:
        for number, commit in enumerate("ab", start=1):
            await made.push(commit)
            await made.event("DeploymentSucceeded", count=number)
        made.catalogue.gates = (gate(before), gate(Before.DEPLOY, name="ticket"))
        await made.request(RollbackRequested(organization="main", subject="ada", place=PLACE))
        await made.event("DeploymentSucceeded", count=3)
        assert "GateRequested" not in {event.name for event in made.events}
