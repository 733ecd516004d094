"""Why a deployment may turn back or end: something struck it, a person wants it, or a newer one takes its place. Nothing else may."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from services.coordinator import inputs as i
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState
from shared.contracts import facts as f
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Direction
from tests.simulation.book import Book, is_good
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

_LIMITS = Limits()
_TURNED = {DeploymentState.COMPENSATING, DeploymentState.STUCK}


class Reasons:
    """Notes what each deployment that turned back has to end as."""

    def __init__(self, world: "World", book: Book) -> None:
        self._world, self._book = world, book
        self._ends_as: dict[str, DeploymentState] = {}

    def moved(self, before: Saga, message: i.Input, after: Saga, at: datetime) -> None:
        """One message moved one saga."""
        if isinstance(message, i.Cancelled):
            self._cancelled(before, after)
        if isinstance(message, Answer):
            self._stale(before, message, after)
        if after.epoch is not None and before.state not in _TURNED and self._has_turned(after):
            cancelled = isinstance(message, i.Cancelled)
            hold(cancelled or self._struck(before, message, at), f"{after.id} turns back, and nothing has struck it: {after.reason}")
            self._ends_as[after.id] = DeploymentState.CANCELLED if cancelled else DeploymentState.ROLLED_BACK
        if after.state is DeploymentState.STUCK and before.state is not DeploymentState.STUCK:
            hold(any(self._gave_up(after, step, at) for step in after.steps.values()), f"{after.id} is stuck too soon")
        if after.state.final:
            self._ended(before, message, after, at)

    @staticmethod
    def _has_turned(saga: Saga) -> bool:
        return saga.state in {*_TURNED, DeploymentState.ROLLED_BACK, DeploymentState.CANCELLED}

    def _ended(self, before: Saga, message: i.Input, after: Saga, at: datetime) -> None:
        match after.state:
            case DeploymentState.FAILED:
                good = self._struck(before, message, at)
            case DeploymentState.DENIED:
                good = self._denied(before, message, at)
            case DeploymentState.SUPERSEDED:
                good = self._superseded(before, message)
            case DeploymentState.ROLLED_BACK | DeploymentState.CANCELLED if after.epoch is not None:
                good = self._ends_as.get(after.id) is after.state
            case DeploymentState.CANCELLED:
                good = isinstance(message, i.Cancelled)
            case _:
                good = after.state is DeploymentState.SUCCEEDED and before.state not in _TURNED
        hold(good, f"{after.id} is {after.state}, and there is no reason for it: {after.reason}")

    def _cancelled(self, before: Saga, after: Saga) -> None:
        if before.epoch is None:
            hold(after.state is DeploymentState.CANCELLED, f"{after.id}, which is cancelled before the lock, is {after.state}")
        elif before.state not in _TURNED and not self.past_pivot(before):
            hold(self._has_turned(after), f"{after.id}, which is cancelled, is {after.state}")
        else:
            hold(after.state is before.state, f"{after.id} is cancelled too late, and {after.state}")

    def past_pivot(self, saga: Saga) -> bool:
        """Something was sent that takes the former release away."""
        after = {"retire", "remove-service", "remove-database"}
        return any(self._book.was_sent(saga.id, step.name) for step in saga.steps.values() if step.kind in after)

    def _stale(self, before: Saga, said: Answer, after: Saga) -> None:
        if said.outcome is not Outcome.DONE or said.name != f.SourceInspected.__name__ or before.origin.by_hand:
            return
        if before.steps["inspect"].state is not after.steps["inspect"].state and said.data["stale"]:
            hold(after.state is DeploymentState.SUPERSEDED, f"{after.id} is stale, and {after.state}")

    def _struck(self, before: Saga, message: i.Input, at: datetime) -> bool:
        match message:
            case Answer(direction=Direction.DO):
                failed = message.outcome in {Outcome.FAILED, Outcome.REFUSED}
                return failed or (message.outcome is Outcome.DONE and not is_good(before, message))
            case i.GateAnswered():
                return message.result == "fail"
            case i.Tick():
                return any(self._is_over(before, step, at) for step in before.steps.values())
        return isinstance(message, i.Refused | i.SourceDenied)

    def _is_over(self, saga: Saga, step: Step, at: datetime) -> bool:
        """No answer came in the step's time, or too many workers of it were lost."""
        if step.state not in {StepState.SENT, StepState.ACCEPTED}:
            return False
        if step.gate is not None:
            return step.began_at is not None and at >= step.began_at + timedelta(seconds=step.gate.deadline_s)
        sent = self._book.sent.get((saga.id, step.name, Direction.DO))
        if sent is None or step.wants_source:
            return step.wants_source
        since = self._book.accepted_at.get(sent.id)
        over = at >= sent.time + _LIMITS.queue if since is None else at >= since + timedelta(seconds=sent.timeout_s)
        return over or sent.attempt > _LIMITS.losses

    def _gave_up(self, saga: Saga, step: Step, at: datetime) -> bool:
        """An undo failed as often as it may, or nobody took it."""
        sent = self._book.sent.get((saga.id, step.name, Direction.UNDO))
        if step.state is not StepState.UNDO_FAILED or sent is None:
            return False
        return sent.attempt >= _LIMITS.undo_attempts or (sent.id not in self._book.accepted_at and at >= sent.time + _LIMITS.queue)

    def _denied(self, before: Saga, message: i.Input, at: datetime) -> bool:
        match message:
            case Answer():
                return message.step == "authorise" and message.name == f.DeploymentDenied.__name__
            case i.Approved():
                return not message.approved
            case i.Tick():
                return before.id in self._book.asked_at and at >= self._book.asked_at[before.id] + _LIMITS.approval
        return False

    def _superseded(self, before: Saga, message: i.Input) -> bool:
        """By a newer one that may be deployed, and not while a build is at work."""
        if isinstance(message, Answer):
            return message.name == f.SourceInspected.__name__ and bool(message.data["stale"])
        if not isinstance(message, i.Superseded) or before.epoch is not None:
            return False
        newer = self._world.database.sagas[message.by].origin
        builds = [step for step in before.steps.values() if step.kind == "build" and step.state is StepState.ACCEPTED]
        by_hand = newer.by_hand or not before.origin.by_hand
        return newer.arrival > before.origin.arrival and message.by in self._book.authorised and by_hand and not builds
