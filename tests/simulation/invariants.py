"""What holds in every schedule: the design's sentences, looked at after each move of a saga, and what is true in the end."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from services.coordinator import inputs as i
from services.coordinator.move import Output
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import BuildImage, Command, Direction, InspectSource
from shared.contracts.events import Event, GateFailed, GatePassed, GateRequested
from shared.contracts.gates import Before
from shared.contracts.steps import STEP_KINDS
from tests.simulation import beliefs
from tests.simulation.participants import PARTICIPANT_OF
from tests.simulation.target import container_of
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

LONGEST_IN_QUEUE = Limits().queue
_TURNED = {DeploymentState.COMPENSATING, DeploymentState.STUCK}
_FORWARD = {DeploymentState.AUTHORIZING, DeploymentState.BUILDING, DeploymentState.RUNNING}
_AFTER_PIVOT = {"retire", "remove-service", "remove-database"}
_BEHIND_GATES = {Before.BUILD: {"build", "push"}, Before.SWITCH: {"switch"}}
_BACK = {DeploymentState.ROLLED_BACK, DeploymentState.CANCELLED}


class Invariants:
    """Keeps a book of its own of what was sent, and believes the sagas nothing that it can look up there."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._sent: dict[tuple[str, str, Direction], Command] = {}
        """The newest command of each step and direction."""
        self._sequence: dict[str, int] = {}
        self._awaited: dict[tuple[str, str], GateRequested] = {}
        """Gates that were asked and have no answer yet."""
        self._passed: set[tuple[str, str]] = set()
        self._ended: set[str] = set()
        self._epoch = 1
        self.accepted_as_it_is = False
        """Somebody took the environment as it stood: the target need not be as the record says."""
        self.leftovers = False
        """Something could not be taken away after the pivot."""

    def moved(self, before: Saga, message: i.Input, after: Saga, outputs: Sequence[Output], at: datetime) -> None:
        """One message moved one saga, then."""
        if isinstance(message, Answer) and not self._is_awaited(before, message):
            hold(not outputs and after == before, f"{message.id}, which nothing awaits, changed {after.id}")
        beliefs.moved(before, message, after, outputs)
        if isinstance(message, i.GateAnswered):
            self._gate_answered(before, message, after)
        if isinstance(message, i.EnvironmentTaken):
            self._taken(after)
        for output in outputs:
            if isinstance(output, Command):
                # A timer may send one step's next attempt and find that another's time is over: then the deployment turns in one move.
                self._command(
                    before if output.direction is Direction.DO and before.state is DeploymentState.RUNNING else after, after, output, at
                )
            elif isinstance(output, Event):
                self._sequence[after.id] = self._sequence.get(after.id, 0) + 1
                hold(output.sequence == self._sequence[after.id], f"{output.name} of {after.id} has the number {output.sequence}")
                self._gate(output)
                self._world.tell(f"  {after.id}: {output.name} {output.step or ''}")
        if after.state.final:
            if after.id not in self._ended:
                self._ended.add(after.id)
                self._end(after)
        else:
            self._has_a_future(after)

    def _is_awaited(self, saga: Saga, said: Answer) -> bool:
        step, sent = saga.steps.get(str(said.step)), self._sent.get((saga.id, str(said.step), said.direction))
        if saga.state.final or step is None or sent is None or said.epoch != sent.epoch:
            return False
        if said.participant != PARTICIPANT_OF[type(sent)] or said.target != ("_" if said.participant == "auth" else sent.target):
            return False
        done = said.outcome is Outcome.DONE
        if said.direction is Direction.UNDO:
            awaits = step.state is StepState.UNDOING or (done and step.state is StepState.UNDO_FAILED)
        else:
            awaits = step.state in {StepState.SENT, StepState.ACCEPTED}
        return awaits and (done or (said.attempt == sent.attempt and step.retry_at is None)) and said.attempt <= sent.attempt

    def _gate(self, event: Event) -> None:
        if event.subject.split(".")[5] != "gate":
            return
        fact, key = event.fact(), (str(event.deployment), str(event.data["gate"]))
        if isinstance(fact, GateRequested):
            self._awaited[key] = fact
            return
        asked = self._awaited.pop(key, None)
        hold(asked is not None, f"{event.name} of {key}, which nobody awaits")
        if isinstance(fact, GatePassed):
            self._passed.add(key)
        assert isinstance(fact, GatePassed | GateFailed)
        if asked is not None and fact.defaulted:
            default = "pass" if isinstance(fact, GatePassed) else "fail"
            hold(default == asked.default and event.time > asked.deadline, f"{key}: {default} by default at {event.time}")

    def _gate_answered(self, before: Saga, answer: i.GateAnswered, after: Saga) -> None:
        asked = self._awaited.get((before.id, answer.gate))
        is_this = (answer.gate, answer.gate_id) in {(gate.name, gate.id) for gate in before.origin.gates}
        if asked is None or not is_this or answer.at > asked.deadline:
            hold(before.steps == after.steps, f"the answer of {answer.gate}, which nothing awaits, changed {after.id}")
        else:
            hold(not after.steps[f"gate-{answer.gate}"].at_work, f"the answer of {answer.gate} came in time and does not count")

    def _taken(self, saga: Saga) -> None:
        database = self._world.database
        holder = database.holder()
        hold(holder in {saga.id, None}, f"{saga.id} took the environment of {holder}")
        runs = database.sagas.get(database.environment.deployment or "")
        if saga.state is DeploymentState.RUNNING and runs is not None and not saga.origin.by_hand:
            hold(runs.origin.arrival < saga.origin.arrival, f"{saga.id} takes the place of the newer {runs.id}")

    def _command(self, sender: Saga, saga: Saga, sent: Command, at: datetime) -> None:
        step = saga.steps[str(sent.step)]
        if PARTICIPANT_OF[type(sent)] == "deployer":
            hold(sent.epoch is not None and sent.epoch in {sender.epoch, saga.epoch}, f"{sent.attempt_id} carries the epoch {sent.epoch}")
            hold(sent.epoch >= self._epoch, f"{sent.attempt_id} carries the epoch {sent.epoch} after {self._epoch}")  # type: ignore[operator]
            self._epoch = sent.epoch or 0
        if sent.direction is Direction.DO:
            hold(sender.state in _FORWARD, f"{step.name} was sent while {saga.id} is {sender.state}")
            for name in step.depends_on:
                other = saga.steps[name]
                over = other.state in {StepState.DONE, StepState.SKIPPED} or (
                    other.kind in _AFTER_PIVOT and other.state is StepState.FAILED
                )
                hold(over, f"{step.name} was sent before {name}")
            for gate in saga.origin.gates:
                behind = _BEHIND_GATES.get(gate.before)
                if step.kind in behind if behind is not None else step.row.participant == "deployer":
                    hold((saga.id, gate.name) in self._passed, f"{step.name} was sent before the gate {gate.name} passed")
            if isinstance(sent, InspectSource | BuildImage):
                ends = sent.source.valid_until
                hold(
                    ends is None or ends >= at + LONGEST_IN_QUEUE,
                    f"{step.name} was sent with a credential that ends at {ends}",
                )
                hold(step.state is StepState.SENT, f"{step.name} was sent and is {step.state}")
            if step.kind == "switch":
                waits = [
                    other.name for other in saga.steps.values() if other.kind == "check-container" and other.state is not StepState.DONE
                ]
                hold(not waits, f"{step.name} was sent before {waits}")
        else:
            done = self._sent.get((saga.id, step.name, Direction.DO))
            hold(done is not None, f"{step.name} is undone and was never sent")
            hold(done is None or (done.epoch or 0) < (sent.epoch or 0), f"{step.name} is undone in the epoch in which it was done")
            hold(not self._past_pivot(saga), f"{step.name} is undone after the pivot")
            for other in _dependents(saga, step):
                back = other.state is StepState.UNDONE or not self._needs_undo(saga, other)
                hold(back and not other.at_work, f"{step.name} is undone before {other.name}")
        self._sent[saga.id, step.name, sent.direction] = sent

    def _past_pivot(self, saga: Saga) -> bool:
        return any((saga.id, step.name, Direction.DO) in self._sent for step in saga.steps.values() if step.kind in _AFTER_PIVOT)

    def _needs_undo(self, saga: Saga, step: Step) -> bool:
        return (saga.id, step.name, Direction.DO) in self._sent and STEP_KINDS[step.kind].undone is not None

    def _has_a_future(self, saga: Saga) -> None:
        if saga.state is DeploymentState.STUCK:
            hold(any(step.state is StepState.UNDO_FAILED for step in saga.steps.values()), f"{saga.id} is stuck at nothing")
            return
        hold(saga.wants is not None or saga.id in self._world.database.wake_at, f"{saga.id} is {saga.state}, and nothing is to come")
        if saga.state in _TURNED:
            hold(not self._past_pivot(saga), f"{saga.id} turns back after the pivot")

    def _end(self, saga: Saga) -> None:
        database = self._world.database.sagas
        working = [step.name for step in saga.steps.values() if step.at_work]
        hold(not working, f"{saga.id} ended while {working} are at work")
        self.accepted_as_it_is = self.accepted_as_it_is or bool(saga.accepted_as_is)
        if saga.state is DeploymentState.SUPERSEDED and saga.origin.by_hand:
            hold(database[saga.by].origin.by_hand, f"{saga.id}, which a person asked for, gave way to {saga.by}")
        self.leftovers = self.leftovers or bool(saga.alerts)
        if self._past_pivot(saga):
            hold(saga.state is DeploymentState.SUCCEEDED, f"{saga.id} is {saga.state} after the pivot")
        if saga.state is not DeploymentState.SUCCEEDED and not self.accepted_as_it_is:
            left = [step.name for step in saga.steps.values() if self._needs_undo(saga, step) and step.state is not StepState.UNDONE]
            hold(not left, f"{saga.id} is {saga.state}, and {left} are not undone")
            stands = self._world.target.of(saga.id)
            hold(not stands, f"{saga.id} is {saga.state}, and there is still: {', '.join(stands)}")
        if saga.epoch is not None:
            self._runs_what_it_shall(saga)

    def _runs_what_it_shall(self, saga: Saga) -> None:
        if saga.plan is None or self.accepted_as_it_is:
            return
        target, good = self._world.target, saga.state is DeploymentState.SUCCEEDED
        shall = saga.plan.releases if good else saga.plan.former
        for name, release in shall.items():
            hold(target.service(name).runs(release.key), f"{saga.id} is {saga.state}, and {name} is not {release.key}")
            found = target.containers.get(container_of(release))
            hold(
                found is not None and found.started and (found.late or not found.stopped),
                f"{saga.id} is {saga.state}, and {name} does not run",
            )
        for name, job in saga.plan.jobs.items():
            key = f"{saga.id}-run-job-{name}"
            hold(target.ran.get(key, 0) <= 1, f"the job {name} of {saga.id} ran {target.ran.get(key)} times")
            hold(not good or target.ran.get(key) == 1, f"{saga.id} succeeded, and its job {name} has not run")
            hold(not good or key not in target.reverted, f"{saga.id} succeeded, and its job {name} was undone")
            if not good and key in target.ran and job.undo:
                hold(key in target.reverted, f"{saga.id} went back, and its job {name} was not undone")

    # The end

    def at_the_end(self) -> None:
        """Nothing goes on any more."""
        world, database = self._world, self._world.database
        still_open = [name for name, row in database.outbox.rows.items() if row.open]
        hold(not still_open, f"commands of steps that were answered are still open: {still_open}")
        wished = [saga.origin.request for saga in database.sagas.values() if saga.origin.request]
        hold(len(wished) == len(set(wished)), f"one wish made several deployments: {wished}")
        archive = world.api.stored.archive
        lost = [name for name, row in database.outbox.rows.items() if row.outgoing.stream == "EVENTS" and name not in archive]
        hold(not lost, f"events were lost: {lost}")
        confirmed = {event.cause for event in archive.values()}
        unheard = [name for name in world.api.stored.wishes if name not in confirmed]
        hold(not unheard, f"nobody answered {unheard}")
        if not self.accepted_as_it_is:
            self._target_is_the_record()

    def _target_is_the_record(self) -> None:
        target, record = self._world.target, self._world.database.environment.record
        for name, release in record.releases.items():
            hold(target.service(name).runs(release.key), f"in the end {name} is not {release.key}")
        hold(record.databases.keys() <= target.databases.keys(), "in the end a database is missing")
        for name, spec in record.databases.items():
            hold(target.databases[name].spec == spec, f"in the end the database {name} is another")
        if self.leftovers:
            return
        containers = {container_of(release) for release in record.releases.values()} | {one.container for one in target.databases.values()}
        hold(set(target.containers) == containers, f"in the end there are {sorted(target.containers)}, not {sorted(containers)}")
        hold(set(target.services) == set(record.releases), f"in the end there are the services {sorted(target.services)}")
        for one in target.services.values():
            hold(one.candidate is None and one.former is None and not one.candidate_certificate, f"in the end {one.service} is half done")
        hosts = {host for release in record.releases.values() for host in release.hosts}
        hold(set(target.domains) == hosts, f"in the end there are the names {sorted(target.domains)}")
        hold(set(target.databases) == set(record.databases), f"in the end there are the databases {sorted(target.databases)}")


def _dependents(saga: Saga, step: Step) -> list[Step]:
    direct = [other for other in saga.steps.values() if step.name in other.depends_on]
    return direct + [further for other in direct for further in _dependents(saga, other)]
