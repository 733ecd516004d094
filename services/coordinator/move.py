"""One move of a saga: the working copy, and what the move sends. Shared by forward steps and compensation."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.coordinator.commands import command, epoch_of
from services.coordinator.inputs import CancelWork, CloseCommands
from services.coordinator.saga import DeploymentState, Limits, Saga, Step, StepState, Want
from shared.contracts.answers import Answer, Failure
from shared.contracts.commands import Command, Direction
from shared.contracts.events import (
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentRolledBack,
    DeploymentSucceeded,
    DeploymentSuperseded,
    Event,
    RequestRefused,
    StepRetried,
)
from shared.contracts.facts import DeploymentDenied, Fact
from shared.contracts.steps import command_subject

Output = Command | Event | CancelWork | CloseCommands


def working_copy(saga: Saga) -> Saga:
    """A copy that may be changed without the original noticing."""
    return replace(saga, steps={name: _copy(step) for name, step in saga.steps.items()}, images=dict(saga.images))


def _copy(step: Step) -> Step:
    """As `replace(step)`, in a fraction of its time: every move copies every step."""
    twin = object.__new__(Step)
    twin.__dict__.update(step.__dict__)
    return twin


@dataclass
class Move:
    """The saga as it becomes, and the messages that go out with it."""

    saga: Saga
    now: datetime
    limits: Limits
    outputs: list[Output] = field(default_factory=list)

    def emit(
        self, fact: Fact, *, step: Step | None = None, outcome: str | None = None, cause: str | None = None, seconds: float | None = None
    ) -> None:
        """Publishes a fact as the deployment's next event."""
        saga = self.saga
        saga.sequence += 1
        place = saga.origin.place
        event = Event(
            id=f"{saga.id}.{saga.sequence}",
            time=self.now,
            name=type(fact).__name__,
            data=fact.model_dump(mode="json"),
            organization=place.organization,
            project=place.project,
            environment=place.environment,
            cause=cause or saga.event,
            deployment=saga.id,
            step=step.name if step else None,
            sequence=saga.sequence,
            stage=step.stage if step else None,
            outcome=outcome,
            seconds=seconds,
        )
        self.outputs.append(event)
        if step:
            step.event = event.id
        else:
            saga.event = event.id

    def refuse(self, request: str | None, reason: str) -> None:
        """Tells whoever wished for something that it is not done. Nothing else comes of that."""
        newest = self.saga.event
        self.emit(RequestRefused(request=request or "", reason=reason), outcome=self.saga.state, cause=request)
        self.saga.event = newest

    def add(self, steps: Iterable[Step]) -> None:
        """Adds steps that were not known before."""
        for step in steps:
            self.saga.steps.setdefault(step.name, _copy(step))

    def send(self, step: Step, direction: Direction) -> None:
        """Sends the next attempt of a step, forward or back. One that clones waits until the credential is good for its time in the queue."""
        if step.state not in {StepState.SENT, StepState.ACCEPTED, StepState.UNDOING}:
            step.began_at = self.now
        if direction is Direction.UNDO:
            step.undo_attempt += 1
            step.state = StepState.UNDOING
        else:
            step.attempt += 1
            step.state = StepState.SENT
        step.accepted = False
        step.epoch = epoch_of(self.saga, step)
        step.beat_at = step.retry_at = None
        step.give_up_at = self.now + self.limits.queue
        if step.clones and not self.saga.may_clone_until(step.give_up_at):
            step.wants_source = True
            self.saga.wants = Want.SOURCE
        else:
            self.outputs.append(command(self.saga, step, direction, self.now))

    def send_again(self, step: Step, direction: Direction, reason: str) -> None:
        """Another attempt, and an event that says why."""
        self.send(step, direction)
        attempt = step.undo_attempt if direction is Direction.UNDO else step.attempt
        self.emit(StepRetried(attempt=attempt, reason=reason), step=step, outcome="retried", cause=step.event)

    def accepted(self, step: Step, timeout_s: float) -> None:
        """A worker has taken the awaited attempt: the step's time starts."""
        step.accepted = True
        step.beat_at = self.now
        step.give_up_at = self.now + timedelta(seconds=timeout_s) + self.limits.slack

    def follow(self, answer: Answer) -> None:
        """A target that has seen higher epochs than this one's refuses it: the database was restored from an older backup. Goes above them."""
        if self.saga.epoch is not None and (answer.seen_epoch or 0) > self.saga.epoch:
            self.saga.epoch = (answer.seen_epoch or 0) + 1

    def close(self, step: Step, direction: Direction) -> None:
        """The step has been answered: its commands need not be sent again. A gate has none."""
        step.accepted = step.wants_source = False
        step.give_up_at = step.beat_at = step.retry_at = None
        if step.gate is not None:
            return
        last = step.undo_attempt if direction is Direction.UNDO else step.attempt
        if last > 1:
            self.cancel(step, "the step has been answered", direction)
        self.outputs.append(CloseCommands(tuple(f"{self.saga.id}-{step.name}.{direction}.{attempt}" for attempt in range(1, last + 1))))

    def cancel(self, step: Step, reason: str, direction: Direction = Direction.DO) -> None:
        """Tells the step's workers to stop, and takes all attempts off the queue: one left there would be worked at much later."""
        sent = command(self.saga, step, direction, self.now)
        target = "_" if step.row.participant == "auth" else self.saga.origin.target
        every_attempt = f"{command_subject(sent, step.row).rpartition('.')[0]}.*"
        self.outputs.append(CancelWork(target, sent.step_key, direction, every_attempt, reason))

    def backoff(self, attempt: int) -> datetime:
        """When the attempt after `attempt` is sent."""
        return self.now + self.limits.backoff * min(1 << (attempt - 1), 30)

    def end(self, state: DeploymentState, *, reason: str = "", failure: Failure | None = None, cause: str | None = None) -> None:
        """Reaches a final state; what is still at work before the lock is told to stop."""
        saga = self.saga
        for step in saga.steps.values():
            if step.at_work and step.gate is None:
                self.cancel(step, f"the deployment ended as {state}")
            if step.state in {StepState.SENT, StepState.ACCEPTED}:
                self.close(step, Direction.DO)
            if step.state in {StepState.SENT, StepState.ACCEPTED, StepState.PENDING}:
                step.state = StepState.SKIPPED
        saga.state = state
        saga.wants = None
        saga.waits_until = None
        saga.reason = reason or saga.reason
        saga.failure = failure or saga.failure
        self.emit(self._ending(state), outcome=state, cause=cause)

    def _ending(self, state: DeploymentState) -> Fact:
        saga = self.saga
        seconds = (self.now - saga.created_at).total_seconds()
        match state:
            case DeploymentState.SUCCEEDED:
                plan = saga.plan
                releases = {} if plan is None else {name: release.id for name, release in plan.releases.items()}
                databases = None if plan is None else plan.databases
                changed = plan is None or plan.changes
                return DeploymentSucceeded(
                    urls=urls(saga), releases=releases, databases=databases, seconds=seconds, alerts=saga.alerts, changed=changed
                )
            case DeploymentState.ROLLED_BACK:
                return DeploymentRolledBack(
                    reason=saga.reason, failure=saga.failure, failed_step=saga.failed_step, seconds=seconds, kept=kept(saga)
                )
            case DeploymentState.CANCELLED:
                return DeploymentCancelled(by=saga.by, compensated=saga.epoch is not None, kept=kept(saga), seconds=seconds)
            case DeploymentState.SUPERSEDED:
                return DeploymentSuperseded(by=saga.by or None, reason=saga.reason)
            case DeploymentState.DENIED:
                rule = saga.failure.code if saga.failure else "denied"
                return DeploymentDenied(rule=rule, reason=saga.reason)
            case _:
                return DeploymentFailed(reason=saga.reason, failure=saga.failure, seconds=seconds)


def urls(saga: Saga) -> tuple[str, ...]:
    """The public addresses of what the environment runs now."""
    plan = saga.plan
    if plan is None:
        return ()
    port = "" if plan.https_port == 443 else f":{plan.https_port}"
    return tuple(f"https://{host}{port}" for release in plan.releases.values() for host in release.hosts)


def kept(saga: Saga) -> tuple[str, ...]:
    """What does not come back with a compensation, said as it is."""
    said = list(saga.accepted_as_is)
    plan = saga.plan
    for step in saga.steps.values():
        if plan is None or step.kind != "run-job" or step.attempt == 0:
            continue
        undo = plan.jobs[str(step.item)].undo
        ending = "its undo has run" if undo else "it has no undo"
        said.append(f"job {step.item} ran: rows that it wrote stay, {ending}")
    return tuple(said)
