"""What holds in every schedule: the design's sentences, looked at after each move of a saga, and what is true in the end."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from services.coordinator import inputs as i
from services.coordinator.move import Output
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState
from shared.contracts import commands as c
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.events import Event, GateFailed, GatePassed, GateRequested
from shared.contracts.gates import Before, step_of
from shared.contracts.steps import STEP_KINDS
from tests.simulation import applications, beliefs, deliveries, promises
from tests.simulation.book import Book, participant_of
from tests.simulation.goals import Goals
from tests.simulation.order import depending, order
from tests.simulation.reasons import Reasons
from tests.simulation.standing import Standing
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

LONGEST_IN_QUEUE = Limits().queue
_TURNED = {DeploymentState.COMPENSATING, DeploymentState.STUCK}
_FORWARD = {DeploymentState.AUTHORIZING, DeploymentState.BUILDING, DeploymentState.RUNNING}
_AFTER_PIVOT = {"retire", "remove-service", "remove-database"}
_BEHIND_GATES = {Before.BUILD: {"build", "push"}, Before.SWITCH: {"switch"}}


class Invariants:
    """Keeps a book of its own of what was sent, and believes the sagas nothing that it can look up there."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._book = Book()
        self.goals = Goals(world)
        self._reasons = Reasons(world, self._book)
        self.standing = Standing(world, self._book, self.goals)
        self._order: dict[str, Mapping[str, tuple[str, ...]]] = {}
        """Of the deploy stage, by deployment."""
        self._sequence: dict[str, int] = {}
        self._awaited: dict[tuple[str, str], GateRequested] = {}
        """Gates that were asked and have no answer yet."""
        self._ended: set[str] = set()
        self._epoch = 1

    def moved(self, before: Saga, message: i.Input, after: Saga, outputs: Sequence[Output], at: datetime) -> None:
        """One message moved one saga, then."""
        if before.state.final:
            hold(not outputs and after == before, f"{after.id}, which has ended, was changed")
            return
        if isinstance(message, Answer) and not self._is_awaited(before, message):
            hold(not outputs and after == before, f"{message.id}, which nothing awaits, changed {after.id}")
        else:
            self._noted(before, message, after, at)
        beliefs.moved(before, message, after, outputs)
        for output in outputs:
            if isinstance(output, Command):
                self._command(after, output, at)
            elif isinstance(output, Event):
                self._sequence[after.id] = self._sequence.get(after.id, 0) + 1
                hold(output.sequence == self._sequence[after.id], f"{output.name} of {after.id} has the number {output.sequence}")
                self._gate(output)
                self._world.tell(f"  {after.id}: {output.name} {output.step or ''}")
        self._reasons.moved(before, message, after, at)
        if after.state.final:
            self._ended.add(after.id)
            self._end(after)
        else:
            self._has_a_future(after)

    def _noted(self, before: Saga, message: i.Input, after: Saga, at: datetime) -> None:
        match message:
            case Answer():
                self._book.answered(before, message, at, self._world.now)
            case i.GateAnswered():
                self._gate_answered(before, message, after)
            case i.Accepted():
                self.standing.accepted(before)
            case _:
                self._book.decided(before, message, self._world.now)
        if before.epoch is None and after.epoch is not None:
            self._taken(after)
        if before.plan is None and after.plan is not None:
            self._planned(after)

    def _is_awaited(self, saga: Saga, said: Answer) -> bool:
        step, sent = saga.steps.get(str(said.step)), self._book.sent.get((saga.id, str(said.step), said.direction))
        if saga.state.final or step is None or sent is None or said.epoch != sent.epoch:
            return False
        if said.participant != participant_of(sent) or said.target != ("_" if said.participant == "auth" else sent.target):
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
            self._book.passed.add((key[0], step_of(key[1])))
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
        self.goals.taken(saga)
        database, origin = self._world.database, saga.origin
        hold(database.holder() in {saga.id, None}, f"{saga.id} took the environment of {database.holder()}")
        runs = database.sagas.get(database.environment.deployment or "")
        if runs is not None and not origin.by_hand:
            hold(runs.origin.arrival < origin.arrival, f"{saga.id} takes the place of the newer {runs.id}")
        if self._world.contended:
            return  # one that comes into the queue meanwhile is not seen
        for other in database.sagas.values():
            newer = other.state is DeploymentState.QUEUED and other.origin.arrival > origin.arrival
            hold(not newer or (origin.by_hand and not other.origin.by_hand), f"{saga.id} does not give way to the newer {other.id}")

    def _planned(self, saga: Saga) -> None:
        self.goals.planned(saga)
        goal = self.goals.of(saga)
        assert goal is not None
        self._order[saga.id] = order(goal)

    def _command(self, saga: Saga, sent: Command, at: datetime) -> None:
        step = saga.steps[str(sent.step)]
        if participant_of(sent) == "deployer":
            hold(sent.epoch is not None and sent.epoch == saga.epoch, f"{sent.attempt_id} carries the epoch {sent.epoch}")
            hold(sent.epoch >= self._epoch, f"{sent.attempt_id} carries the epoch {sent.epoch} after {self._epoch}")  # type: ignore[operator]
            self._epoch = sent.epoch or 0
        self._is_of_the_goal(saga, sent)
        if sent.direction is Direction.DO:
            hold(saga.state in _FORWARD, f"{step.name} was sent while {saga.id} is {saga.state}")
            hold(step.kind == "authorise" or saga.id in self._book.authorised, f"{step.name} was sent, and {saga.id} is not authorised")
            missing = [name for name in self._before(saga, step) if not self._is_over(saga, name)]
            hold(not missing, f"{step.name} was sent before {missing}")
            for gate in saga.origin.gates:
                behind = _BEHIND_GATES.get(gate.before)
                if step.kind in behind if behind is not None else step.row.participant == "deployer":
                    passed = (saga.id, step_of(gate.name)) in self._book.passed
                    hold(passed, f"{step.name} was sent before the gate {gate.name} passed")
            if isinstance(sent, c.InspectSource | c.BuildImage):
                self._clones(saga, step, sent, at)
        else:
            done = self._book.sent.get((saga.id, step.name, Direction.DO))
            hold(done is not None, f"{step.name} is undone and was never sent")
            hold(done is None or (done.epoch or 0) < (sent.epoch or 0), f"{step.name} is undone in the epoch in which it was done")
            hold(not self._reasons.past_pivot(saga), f"{step.name} is undone after the pivot")
            for name in depending(self._order[saga.id], step.name):
                other = saga.steps.get(name)
                back = other is None or other.state is StepState.UNDONE or not self._needs_undo(saga, other)
                hold(back and (other is None or not other.at_work), f"{step.name} is undone before {name}")
        self._book.sent[saga.id, step.name, sent.direction] = sent

    def _before(self, saga: Saga, step: Step) -> set[str]:
        """The steps that have to be over, by the plan and by the table."""
        wanted = set(step.depends_on)
        if saga.id in self._order:
            steps = self._order[saga.id]
            if step.row.participant == "deployer":
                hold(step.name in steps, f"{step.name} was sent, and {saga.id} has nothing to do there")
                wanted.update(steps[step.name])
        elif step.kind in {"build", "push"}:
            wanted.add("inspect")
            wanted.update({f"build-{step.item}"} if step.kind == "push" else ())
        return wanted

    def _is_over(self, saga: Saga, name: str) -> bool:
        """Done or passed; of what comes after the pivot also: failed."""
        key, step = (saga.id, name), saga.steps.get(name)
        return (
            key in self._book.done or key in self._book.passed
            or (step is not None and step.kind in _AFTER_PIVOT and step.state is StepState.FAILED)
        )  # fmt: skip

    def _clones(self, saga: Saga, step: Step, sent: c.InspectSource | c.BuildImage, at: datetime) -> None:
        ends = sent.source.valid_until
        hold(ends is None or ends >= at + LONGEST_IN_QUEUE, f"{step.name} was sent with a credential that ends at {ends}")
        hold(step.state is StepState.SENT, f"{step.name} was sent and is {step.state}")
        wanted = saga.origin.source.commit if saga.origin.source else None
        hold(sent.source.commit == wanted, f"{step.name} of {saga.id} clones {sent.source.commit}, not {wanted}")
        if isinstance(sent, c.InspectSource) and not self._world.contended:
            newest = self._book.newest_of[saga.id]
            hold(sent.newest == newest, f"{saga.id} is compared with the commit {sent.newest}, not {newest}")

    def _is_of_the_goal(self, saga: Saga, sent: Command) -> None:
        """The command says what shall be, and what was before."""
        goal, good = self.goals.of(saga), True
        if goal is None:
            if isinstance(sent, c.PushImage) and saga.origin.source is not None:
                good = sent.image == applications.image(sent.service, int(saga.origin.source.commit, 16))
        else:
            former = goal.former
            match sent:
                case c.PushImage():
                    good = sent.image == goal.releases[sent.service].container.image
                case c.ServiceCommand():
                    name = sent.release.service
                    good = sent.release == goal.releases.get(name) and sent.former == former.releases.get(name)
                case c.ProvisionDatabase() | c.ConnectDatabase():
                    name = sent.database.name
                    good = sent.database == goal.databases.get(name) and sent.former == former.databases.get(name)
                case c.CheckDatabase():
                    good = sent.database == goal.databases.get(sent.database.name)
                case c.RemoveService():
                    good = sent.former == former.releases.get(sent.former.service)
                case c.RemoveDatabase():
                    good = sent.former == former.databases.get(sent.former.name)
        hold(good, f"{sent.attempt_id} is not of what {saga.id} shall do, or comes from")

    def _needs_undo(self, saga: Saga, step: Step) -> bool:
        return self._book.was_sent(saga.id, step.name) and STEP_KINDS[step.kind].undone is not None

    def _has_a_future(self, saga: Saga) -> None:
        if saga.state is DeploymentState.STUCK:
            hold(any(step.state is StepState.UNDO_FAILED for step in saga.steps.values()), f"{saga.id} is stuck at nothing")
            return
        hold(saga.wants is not None or saga.id in self._world.database.wake_at, f"{saga.id} is {saga.state}, and nothing is to come")
        if saga.state in _TURNED:
            hold(not self._reasons.past_pivot(saga), f"{saga.id} turns back after the pivot")

    def _end(self, saga: Saga) -> None:
        working = [step.name for step in saga.steps.values() if step.at_work]
        hold(not working, f"{saga.id} ended while {working} are at work")
        if self._reasons.past_pivot(saga):
            hold(saga.state is DeploymentState.SUCCEEDED, f"{saga.id} is {saga.state} after the pivot")
        if saga.state is DeploymentState.SUCCEEDED:
            hold(saga.id in self._order, f"{saga.id} succeeded without a plan")
            missing = [name for name in self._order[saga.id] if not self._is_over(saga, name)]
            hold(not missing, f"{saga.id} succeeded without {missing}")
            self.goals.succeeded(saga)
        self.standing.ended(saga)

    # The end

    def at_the_end(self) -> None:
        """Nothing goes on any more."""
        world, database = self._world, self._world.database
        deliveries.at_the_end(world)
        still_open = [name for name, row in database.outbox.rows.items() if row.open]
        hold(not still_open, f"commands of steps that were answered are still open: {still_open}")
        archive = world.api.stored.archive
        lost = [name for name, row in database.outbox.rows.items() if row.outgoing.stream == "EVENTS" and name not in archive]
        hold(not lost, f"events were lost: {lost}")
        confirmed = {event.cause for event in archive.values()}
        unheard = [name for name in world.api.stored.wishes if name not in confirmed]
        hold(not unheard, f"nobody answered {unheard}")
        promises.at_the_end(world)
        self.standing.is_the_record()
