"""The saga engine: given what happened, what is sent and where it ends. No broker, no database."""

from datetime import timedelta

import pytest

from services.coordinator import inputs as i
from services.coordinator.saga import DeploymentState, Limits, StepState, is_after_pivot
from services.coordinator.snapshot import Record, Snapshot
from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.answers import Failure, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.events import DeploymentRolledBack, DeploymentSucceeded
from shared.contracts.manifest import DatabaseManifest, Manifest, ServiceManifest
from shared.contracts.releases import SecretRef
from shared.contracts.steps import STEP_KINDS
from tests.unit.coordinator.scenario import SOURCE, START, TODO, Scenario, Script, fails, origin

BEFORE_LOCK = ("authorise", "inspect", "build-web", "push-web")
WITH_LOCK = (
    "provision-database-db", "connect-database-db", "check-database-db", "run-job-migrate", "deploy-container-web", "connect-container-web",
    "expose-web", "assign-domain-web", "issue-certificate-web", "check-container-web", "switch-web", "check-endpoint-web",
)  # fmt: skip


def caused_by(scenario: Scenario, message: str) -> str:
    """The event that confirms a message."""
    return ", ".join(event.name for event in scenario.events if event.cause == message)


def test_a_push_runs_every_step_of_the_table_and_succeeds() -> None:
    """All steps, each after what it depends on."""
    scenario = Scenario().run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert set(scenario.names()) == {*BEFORE_LOCK, *WITH_LOCK, "retire-web"}
    for step in scenario.saga.steps.values():
        for needed in step.depends_on:
            assert scenario.names().index(needed) < scenario.names().index(step.name)


def test_the_end_says_what_the_environment_has_now() -> None:
    """Releases and databases: `slipway doctor` holds the target against them."""
    scenario = Scenario().run()
    ended, plan = scenario.events[-1].fact(), scenario.saga.plan
    assert isinstance(ended, DeploymentSucceeded)
    assert plan is not None
    assert ended.releases == {name: release.id for name, release in plan.releases.items()}
    assert ended.databases == plan.databases
    assert {"web"} == ended.releases.keys()
    assert {"db"} == plan.databases.keys()


def test_events_count_up_and_name_their_cause() -> None:
    """Sequence numbers have no gaps, and each cause is an earlier event (the first: the change)."""
    scenario = Scenario().run()
    assert [event.sequence for event in scenario.events] == list(range(1, len(scenario.events) + 1))
    known = {"change-1"}
    for event in scenario.events:
        assert event.cause in known
        known.add(event.id)


@pytest.mark.parametrize("step", BEFORE_LOCK)
def test_a_failure_before_the_lock_touches_nothing(step: str) -> None:
    """It ends as failed, without a command that has an undo."""
    scenario = Scenario(script=fails(step)).run()
    assert scenario.saga.state is DeploymentState.FAILED
    assert not any(command.epoch for command in scenario.commands)


@pytest.mark.parametrize("step", WITH_LOCK)
def test_a_failure_with_the_lock_undoes_every_step_that_was_sent(step: str) -> None:
    """All that was sent and has an undo is undone, after what depends on it, with a higher epoch."""
    scenario = Scenario(script=fails(step)).run()
    assert scenario.saga.state is DeploymentState.ROLLED_BACK
    sent = {name for name in scenario.names() if scenario.saga.steps[name].row.undone}
    undone = scenario.names(Direction.UNDO)
    assert sorted(undone) == sorted(sent)
    for name in undone:
        for needed in scenario.saga.steps[name].depends_on:
            if needed in undone:
                assert undone.index(name) < undone.index(needed)
    assert {command.epoch for command in scenario.commands if command.direction is Direction.UNDO} <= {8}


def test_a_failed_retirement_ends_in_success_with_an_alert() -> None:
    """After the pivot there is only the way forward."""
    scenario = Scenario(script=fails("retire-web")).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert scenario.saga.alerts
    assert scenario.names(Direction.UNDO) == []


def test_what_nobody_removes_in_time_is_removed_when_somebody_comes() -> None:
    """A retirement that no worker takes ends in success with an alert, and stays in its queue: nothing else would ever remove the leftover."""
    scenario = Scenario(script=lambda command: "silence" if command.step == "retire-web" else None).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert "stays in its queue" in scenario.saga.alerts[0]
    assert scenario.cancels == []


@pytest.mark.parametrize("step", ["retire-web", "remove-service-aside", "remove-database-spare"])
def test_a_leftover_that_cannot_be_removed_keeps_no_other_from_going(step: str) -> None:
    """What comes after it is removed all the same, and the deployment ends."""
    wide = Manifest(
        services={"web": ServiceManifest(port=3001, databases=("db",)), "aside": ServiceManifest(image="aside")},
        databases={**TODO.databases, "spare": DatabaseManifest()},
    )
    plan = Scenario(manifest=wide).run().saga.plan
    assert plan is not None
    record = Record(releases=plan.releases, databases=plan.databases)
    scenario = Scenario(record=record, script=fails(step)).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert len(scenario.saga.alerts) == 1
    assert {"retire-web", "remove-service-aside", "remove-database-spare"} < set(scenario.names())


def test_a_failure_that_may_pass_is_tried_again() -> None:
    """With backoff, as often as the table says, and then it fails for good."""
    scenario = Scenario(script=fails("deploy-container-web", may_pass=True)).run()
    attempts = [command.attempt for command in scenario.commands if command.step == "deploy-container-web" and command.direction == "do"]
    assert attempts == [1, 2, 3]
    assert scenario.saga.state is DeploymentState.ROLLED_BACK


@pytest.mark.parametrize(("minutes", "ends"), [(5, DeploymentState.SUCCEEDED), (60, DeploymentState.FAILED)])
def test_a_forge_that_is_away_for_minutes_fails_no_deployment(minutes: int, ends: DeploymentState) -> None:
    """It is asked again for about ten minutes, and not for ever."""
    scenario = Scenario()

    def script(command: Command) -> Failure | None:
        away = command.step == "inspect" and scenario.now - START < timedelta(minutes=minutes)
        return Failure(code="clone_unreachable", message="no answer", may_pass=True) if away else None

    scenario.script = script
    assert scenario.run().saga.state is ends
    assert timedelta(minutes=5) < scenario.now - START < timedelta(minutes=12)


def test_a_silent_worker_is_replaced() -> None:
    """Three missed beats make attempt + 1, and the deployment succeeds."""

    def script(command: Command) -> str | None:
        return "hangs" if command.step == "switch-web" and command.attempt == 1 else None

    scenario = Scenario(script=script).run()
    assert scenario.saga.state is DeploymentState.SUCCEEDED
    assert [command.attempt for command in scenario.commands if command.step == "switch-web"] == [1, 2]


def test_a_success_of_an_earlier_attempt_counts() -> None:
    """Attempts may overlap, since effects are idempotent by step key."""

    def script(command: Command) -> str | None:
        return "hangs" if command.step == "switch-web" else None

    scenario = Scenario(script=script)
    scenario.run(lambda now: bool(now.commands) and now.commands[-1].step == "switch-web" and now.commands[-1].attempt == 2)
    first = next(command for command in scenario.commands if command.step == "switch-web")
    scenario.feed(scenario.answer(first, Outcome.DONE, fact=f.TrafficSwitched(service="web")))
    assert scenario.saga.steps["switch-web"].state is StepState.DONE
    assert [cancel.subject for cancel in scenario.cancels] == ["slipway.cmd.local.deployer.effects.d1-switch-web.do.*"], "the later is left"


def test_a_command_that_kills_its_workers_does_not_stay_in_the_queue() -> None:
    """Once its step has failed, no attempt of it is left for yet another worker."""
    scenario = Scenario(script=lambda command: "hangs" if command.step == "build-web" else None).run()
    assert scenario.saga.failure is not None
    assert scenario.saga.failure.code == "worker_lost"
    assert "slipway.cmd.local.builder.builds.d1-build-web.do.*" in [cancel.subject for cancel in scenario.cancels]


def test_a_deployment_that_ends_sends_nothing_in_the_same_move() -> None:
    """A timer finds that one build's workers are lost for good and that another's next attempt is due: that is not sent any more."""
    two = Manifest(services={"web": ServiceManifest(), "worker": ServiceManifest()})
    scenario = Scenario(manifest=two, script=lambda command: "silence" if isinstance(command, c.BuildImage) else None)
    scenario.run(lambda now: "build-worker" in now.names())
    for losses in range(Limits().losses + 1):
        for step in ("build-web", "build-worker") if losses else ("build-worker",):
            sent = next(command for command in reversed(scenario.commands) if command.step == step)
            scenario.feed(scenario.answer(sent, Outcome.ACCEPTED))
        sent_before = len(scenario.commands)
        scenario.now += Limits().silence
        scenario.feed(i.Tick(connected_since=START - timedelta(days=1)))
    assert scenario.saga.failure is not None
    assert scenario.saga.failure.code == "worker_lost"
    assert scenario.names()[sent_before:] == []


def test_nobody_takes_a_command() -> None:
    """Before the lock it fails, with the lock it compensates, and an undo that nobody takes ends as stuck."""
    assert Scenario(script=_silent("build-web")).run().saga.state is DeploymentState.FAILED
    assert Scenario(script=_silent("deploy-container-web")).run().saga.state is DeploymentState.ROLLED_BACK

    def dead(command: Command) -> str | Failure | None:
        if command.direction is Direction.UNDO:
            return "silence"
        return fails("check-container-web")(command)

    scenario = Scenario(script=dead).run()
    assert scenario.saga.state is DeploymentState.STUCK
    undos = "slipway.cmd.local.deployer.undos.d1-issue-certificate-web.undo.*"
    assert undos in [cancel.subject for cancel in scenario.cancels], "nobody takes it when a person has accepted what stands"


def _silent(step: str) -> Script:
    return lambda command: "silence" if command.step == step and command.direction is Direction.DO else None


def test_queueing_does_not_count_while_the_coordinator_was_away() -> None:
    """The queue limit starts anew with the coordinator's own connection."""
    scenario = Scenario(script=_silent("build-web")).run(lambda now: "build-web" in now.names())
    scenario.now += timedelta(hours=1)
    scenario.feed(i.Tick(connected_since=scenario.now - timedelta(seconds=5)))
    assert scenario.saga.state is DeploymentState.BUILDING
    scenario.now += timedelta(hours=1)
    scenario.feed(i.Tick(connected_since=scenario.now - timedelta(hours=1)))
    assert scenario.happened()[-1] == "DeploymentFailed"


def test_an_undo_that_keeps_failing_is_stuck_until_a_person_retries() -> None:
    """The environment stays held; a retry goes on where it stopped."""
    broken = True

    def script(command: Command) -> Failure | None:
        if command.step == "expose-web" and command.direction is Direction.UNDO and broken:
            return Failure(code="x", message="no way")
        return fails("check-endpoint-web")(command)  # type: ignore[return-value]

    scenario = Scenario(script=script).run()
    assert scenario.saga.state is DeploymentState.STUCK
    assert scenario.saga.holds
    assert scenario.saga.steps["deploy-container-web"].state is StepState.DONE, "what the failed undo depends on waits for it"
    broken = False
    scenario.feed(i.Retried(by="ada", cause="request-1"))
    assert caused_by(scenario, "request-1") == "DeploymentUnstuck"
    assert scenario.run().saga.state is DeploymentState.ROLLED_BACK
    assert "DeploymentUnstuck" in scenario.happened()


def test_a_stuck_deployment_can_be_accepted_as_it_stands() -> None:
    """What was not undone is recorded, the rest is undone, the environment is free."""

    def script(command: Command) -> Failure | None:
        if command.step == "expose-web" and command.direction is Direction.UNDO:
            return Failure(code="x", message="no way")
        return fails("check-endpoint-web")(command)  # type: ignore[return-value]

    scenario = Scenario(script=script).run()
    scenario.feed(i.Accepted(by="ada", cause="request-1"))
    assert caused_by(scenario, "request-1") == "DeploymentUnstuck"
    scenario.run()
    assert scenario.saga.state is DeploymentState.ROLLED_BACK
    assert not scenario.saga.holds
    ending = scenario.events[-1].fact()
    assert isinstance(ending, DeploymentRolledBack)
    assert any("accepted by ada" in line for line in ending.kept)


def test_a_cancel_before_the_lock_ends_it() -> None:
    """Nothing was touched; the worker is told."""
    scenario = Scenario(script=lambda command: "hangs" if command.step == "build-web" else None)
    scenario.run(lambda now: "build-web" in now.names() and now.saga.steps["build-web"].accepted)
    scenario.feed(i.Cancelled(by="ada", cause="request-1"))
    assert scenario.saga.state is DeploymentState.CANCELLED
    assert caused_by(scenario, "request-1") == "DeploymentCancelled"
    assert [cancel.step_key for cancel in scenario.cancels] == ["d1-build-web"]


def test_a_cancel_with_the_lock_compensates() -> None:
    """It ends as cancelled, with everything undone."""
    scenario = Scenario().run(lambda now: now.commands[-1].step == "check-container-web")
    scenario.feed(i.Cancelled(by="ada", cause="request-1"))
    assert caused_by(scenario, "request-1") == "CompensationStarted"
    scenario.run()
    assert scenario.saga.state is DeploymentState.CANCELLED
    assert scenario.names(Direction.UNDO)


def test_a_cancel_after_the_pivot_is_refused() -> None:
    """There is only the way forward, and the person is told."""
    scenario = Scenario(script=lambda command: "hangs" if command.step == "retire-web" else None)
    scenario.run(lambda now: now.commands[-1].step == "retire-web")
    scenario.feed(i.Cancelled(by="ada", cause="request-1"))
    assert scenario.saga.state is DeploymentState.RUNNING
    assert scenario.happened()[-1] == "RequestRefused"


def test_a_step_at_work_is_awaited_before_its_undo() -> None:
    """Its worker is cancelled; its undo goes out only when it has answered."""
    manifest = Manifest(services={"a": ServiceManifest(port=1), "b": ServiceManifest(port=1)})

    def script(command: Command) -> str | Failure | None:
        if command.step == "deploy-container-a" and command.direction is Direction.DO:
            return "hangs"
        return fails("deploy-container-b")(command)

    scenario = Scenario(manifest=manifest, script=script)
    scenario.run(lambda now: "CompensationStarted" in now.happened())
    assert "deploy-container-a" not in scenario.names(Direction.UNDO)
    hanging = next(command for command in scenario.commands if command.step == "deploy-container-a")
    scenario.feed(scenario.answer(hanging, Outcome.FAILED, failure=Failure(code="cancelled", message="cancelled")))
    assert "deploy-container-a" in scenario.names(Direction.UNDO)
    assert scenario.run().saga.state is DeploymentState.ROLLED_BACK


def test_a_denied_deployment_ends_with_the_rule() -> None:
    """And nothing else is sent."""
    scenario = Scenario(script=lambda _command: "hangs").run(lambda now: bool(now.commands))
    denied = f.DeploymentDenied(rule="viewer on project todo may not deploy", reason="ask an admin")
    scenario.feed(scenario.answer(scenario.commands[0], Outcome.DONE, fact=denied))
    assert scenario.saga.state is DeploymentState.DENIED
    assert scenario.names() == ["authorise"]
    assert scenario.events[-1].name == "DeploymentDenied"


def test_a_deployment_waits_for_approval_and_goes_on() -> None:
    """With a deadline, after which it ends as denied."""
    for decision, end in ((True, DeploymentState.SUCCEEDED), (False, DeploymentState.DENIED), (None, DeploymentState.DENIED)):
        scenario = Scenario(script=lambda command: "hangs" if command.step == "authorise" else None).run(lambda now: bool(now.commands))
        asked = f.ApprovalRequested(rule="production needs approval")
        scenario.feed(scenario.answer(scenario.commands[0], Outcome.DONE, fact=asked))
        assert scenario.saga.state is DeploymentState.WAITING
        if decision is not None:
            scenario.feed(i.Approved(by="ada", approved=decision, cause="request-1"))
            assert caused_by(scenario, "request-1") == ("DeploymentApproved" if decision else "DeploymentDenied")
        scenario._queue.clear() if decision is None else None
        assert scenario.run().saga.state is end


def test_superseding_spares_a_build_at_work() -> None:
    """One whose build waits for a worker gives way, one whose build is at work goes on."""
    waiting = Scenario(script=_silent("build-web")).run(lambda now: "build-web" in now.names())
    waiting.feed(i.Superseded(by="d2", reason="newer"))
    assert waiting.saga.state is DeploymentState.SUPERSEDED
    working = Scenario(script=lambda command: "hangs" if command.step == "build-web" else None)
    working.run(lambda now: "build-web" in now.saga.steps and now.saga.steps["build-web"].accepted)
    working.feed(i.Superseded(by="d2", reason="newer"))
    assert working.saga.state is DeploymentState.BUILDING


def test_a_stale_commit_is_superseded_unless_asked_for_by_hand() -> None:
    """A strict ancestor of the newest authorised commit is not deployed over it."""
    for by_hand, end in ((False, DeploymentState.SUPERSEDED), (True, DeploymentState.SUCCEEDED)):
        scenario = Scenario(origin=origin(by_hand=by_hand), script=lambda command: "hangs" if command.step == "inspect" else None)
        scenario.run(lambda now: now.commands[-1].step == "inspect" and now.saga.steps["inspect"].accepted)
        stale = f.SourceInspected(manifest=TODO, trees={"web": "t"}, stale=True)
        scenario.feed(scenario.answer(scenario.commands[-1], Outcome.DONE, fact=stale))
        assert scenario.run().saga.state is end
        reason = str(scenario.events[-1].data.get("reason"))
        assert by_hand or reason.endswith(f"to go back on purpose: slipway deploy --commit {SOURCE.commit}")


def test_a_message_that_answers_nothing_awaited_changes_nothing() -> None:
    """Duplicates, answers of another epoch, of another participant, and those after the end."""
    scenario = Scenario().run(lambda now: now.commands[-1].step == "switch-web")
    before = repr(scenario.saga)
    early = next(command for command in scenario.commands if command.step == "expose-web")
    switch = scenario.commands[-1]
    for stray in (
        scenario.answer(early, Outcome.FAILED, failure=Failure(code="x", message="late")),
        scenario.answer(early.model_copy(update={"step": "nothing"}), Outcome.ACCEPTED),
        scenario.answer(switch.model_copy(update={"epoch": 6}), Outcome.DONE, fact=f.TrafficSwitched(service="web")),
        scenario.answer(switch, Outcome.ACCEPTED).model_copy(update={"participant": "builder"}),
        scenario.answer(switch, Outcome.DONE, fact=f.TrafficSwitched(service="web")).model_copy(update={"target": "another"}),
        scenario.answer(switch.model_copy(update={"attempt": 9}), Outcome.FAILED, failure=Failure(code="x", message="x")),
    ):
        scenario.feed(stray)
    assert repr(scenario.saga) == before


def test_an_answer_that_does_not_fit_fails_the_step() -> None:
    """Nonsense is never taken for success."""
    scenario = Scenario(script=lambda command: "hangs" if command.step == "switch-web" and command.direction is Direction.DO else None)
    scenario.run(lambda now: now.commands[-1].step == "switch-web" and now.saga.steps["switch-web"].accepted)
    scenario.feed(scenario.answer(scenario.commands[-1], Outcome.DONE, fact=f.DatabaseHealthy(database="db", version="18")))
    assert scenario.run().saga.state is DeploymentState.ROLLED_BACK


def test_every_live_deployment_has_a_timer_a_want_or_an_undo_to_retry() -> None:
    """One without a live timer, an awaited answer or a final state cannot exist."""
    for step in (*BEFORE_LOCK, *WITH_LOCK, "retire-web"):
        for script in (fails(step), fails(step, may_pass=True), _silent(step)):
            scenario = Scenario(script=script, limits=Limits())
            scenario.feed(i.Begin(cause="change-1"))
            while not scenario.saga.state.final and scenario._step():
                saga = scenario.saga
                assert saga.state.final or saga.wants or saga.wake_at(scenario.limits.silence) is not None
            assert scenario.saga.state.final


def test_the_table_is_whole() -> None:
    """Each step before the pivot that the deployer does has an undo or is a check; none after it has one."""
    for kind in STEP_KINDS.values():
        if is_after_pivot(kind.name):
            assert kind.undone is None
        elif kind.participant == "deployer" and not kind.name.startswith("check-"):
            assert kind.undone is not None


def test_a_command_that_the_bus_would_not_take_is_found_before_anything_is_touched() -> None:
    """The deployment fails with what to do about it."""
    secrets = tuple(SecretRef(name=f"KEY_{number}", version=1) for number in range(12))
    sealed = {(ref.name, ref.version): "x" * 90_000 for ref in secrets}
    scenario = Scenario(snapshot=Snapshot(secrets=secrets, sealed=sealed)).run()
    assert scenario.saga.state is DeploymentState.FAILED
    assert scenario.saga.failure is not None
    assert scenario.saga.failure.code == "too_large"
    assert not [command for command in scenario.commands if command.epoch is not None]


@pytest.mark.parametrize(
    ("domain", "ends"),
    [
        ("web.production.shop.other.localhost", DeploymentState.FAILED),
        ("web.staging.todo.main.localhost", DeploymentState.FAILED),
        ("www.production.todo.main.localhost", DeploymentState.SUCCEEDED),
        ("shop.localhost", DeploymentState.SUCCEEDED),
    ],
)
def test_the_address_of_another_environment_cannot_be_taken(domain: str, ends: DeploymentState) -> None:
    """Nobody can sit on the name that another organization's service will be called by."""
    manifest = Manifest(services={"web": ServiceManifest(port=3000, domains=(domain,))})
    assert Scenario(manifest=manifest).run().saga.state is ends


def test_an_undo_that_was_given_up_and_works_after_all_frees_the_deployment() -> None:
    """A late success of the undo at which it is stuck counts; nonsense does not."""

    def script(command: Command) -> str | Failure | None:
        if command.step == "expose-web" and command.direction is Direction.UNDO:
            return "hangs"
        return fails("check-endpoint-web")(command)

    scenario = Scenario(script=script).run()
    assert scenario.saga.state is DeploymentState.STUCK
    first = next(command for command in scenario.commands if command.step == "expose-web" and command.direction is Direction.UNDO)
    before = repr(scenario.saga)
    scenario.feed(scenario.answer(first, Outcome.DONE).model_copy(update={"name": "Nonsense"}))
    scenario.feed(scenario.answer(first, Outcome.FAILED, failure=Failure(code="x", message="late")))
    assert repr(scenario.saga) == before
    scenario.feed(scenario.answer(first, Outcome.DONE, fact=f.RouteRemoved(service="web")))
    assert "DeploymentUnstuck" in scenario.happened()
    assert scenario.run().saga.state is DeploymentState.ROLLED_BACK


def test_a_command_that_was_delivered_twice_and_failed_twice_failed_once() -> None:
    """Between a failed attempt and the next no attempt is awaited; a success counts all the same."""
    scenario = Scenario(script=lambda command: "hangs" if command.step == "build-web" else None)
    scenario.run(lambda now: "build-web" in now.saga.steps and now.saga.steps["build-web"].accepted)
    build = scenario.commands[-1]
    scenario.feed(scenario.answer(build, Outcome.FAILED, failure=Failure(code="x", message="once", may_pass=True)))
    before = repr(scenario.saga)
    scenario.feed(scenario.answer(build, Outcome.FAILED, failure=Failure(code="x", message="twice")))
    assert repr(scenario.saga) == before
    scenario.feed(scenario.answer(build, Outcome.DONE, fact=f.ImageBuilt(service="web", image=f"web@sha256:{'1' * 64}")))
    assert scenario.saga.steps["build-web"].state is StepState.DONE


def test_an_undo_that_answers_with_another_fact_is_not_undone() -> None:
    """Nonsense is never taken for success, on the way back neither."""

    def script(command: Command) -> str | Failure | None:
        return "hangs" if command.direction is Direction.UNDO else fails("deploy-container-web")(command)

    scenario = Scenario(script=script).run(lambda now: "deploy-container-web" in now.names(Direction.UNDO))
    undo = scenario.commands[-1]
    scenario.feed(scenario.answer(undo, Outcome.DONE, fact=f.DatabaseHealthy(database="db", version="18")))
    assert scenario.saga.steps[str(undo.step)].state is StepState.UNDOING
    assert scenario.saga.steps[str(undo.step)].retry_at is not None


def test_a_push_does_not_take_the_place_of_what_a_person_asked_for() -> None:
    """Only another wish of a person does."""
    for by_hand, end in ((False, DeploymentState.QUEUED), (True, DeploymentState.SUPERSEDED)):
        scenario = Scenario(origin=origin(by_hand=True)).run(lambda now: now.saga.state is DeploymentState.QUEUED)
        scenario.feed(i.Superseded(by="d2", reason="newer", by_hand=by_hand))
        assert scenario.saga.state is end
