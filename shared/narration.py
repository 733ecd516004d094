"""A deployment as a person reads it: events and log lines go in, lines come out. Pure; no clock, no I/O.

`Narrator` gives structured lines, for whoever draws them (the git remote as plain text, the CLI with colours).
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import singledispatchmethod

from shared import phrases
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.events import Event, Stage
from shared.contracts.facts import Fact, UnknownFact
from shared.contracts.logs import LogLines
from shared.contracts.steps import STEP_KINDS, title_of
from shared.printable import printable


class LineKind(StrEnum):
    """What a line is, so that its renderer can give it a form."""

    HEADING = "heading"
    """The deployment: what goes where."""
    STAGE = "stage"
    STARTED = "started"
    """A step is at work; its end comes later."""
    DONE = "done"
    RETRIED = "retried"
    FAILED = "failed"
    LOG = "log"
    """One line of what a step's program prints."""
    DETAIL = "detail"
    """More about the line before."""
    NOTE = "note"
    """What a person should know: disagreements, what has no way back."""
    WAITING = "waiting"
    """It goes on when somebody or something else has acted."""
    BACK = "back"
    """The environment returns to where it was: undos follow."""
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    SUCCEEDED = "succeeded"
    ADDRESS = "address"
    ENDED = "ended"
    """The end of a deployment that did not succeed."""
    HINT = "hint"
    """What to do next."""


@dataclass(frozen=True)
class Line:
    """One line. `seconds`: how long the step, or the whole deployment, took."""

    kind: LineKind
    text: str
    step: str | None = None
    seconds: float | None = None


_REMEMBERED = 200
"""More than the last lines that a failure brings."""


@dataclass
class _Step:
    title: str
    stage: Stage
    started: datetime | None = None
    logged: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """The newest lines of its log that were told."""


@dataclass
class Narrator:
    """Tells one deployment. Events may come twice and out of order: they are told once, by their sequence number."""

    deployment: str
    outcome: str | None = None
    """How it ended, once it has: succeeded, rolled_back, failed, denied, cancelled, superseded or stuck."""
    _next: int = 1
    _early: dict[int, Event] = field(default_factory=dict)
    _told: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _steps: dict[str, _Step] = field(default_factory=dict)
    _stage: Stage | None = None
    _back: bool = False
    _waits: bool = False

    @property
    def waits_for_people(self) -> bool:
        """Whether nothing happens until a person approves."""
        return self._waits and not self.ended

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.outcome is not None

    def event(self, event: Event) -> tuple[Line, ...]:
        """The lines that an event, and those which waited for it, give. Events of other deployments give none."""
        if event.deployment != self.deployment:
            return ()
        if event.sequence is None:
            return tuple(self._tell(event))
        if event.sequence >= self._next:
            self._early[event.sequence] = event
        return self._tell_ready()

    def skip_gap(self) -> tuple[Line, ...]:
        """Goes on with what is there: for a reader that has waited long enough for a missing event."""
        if self._early:
            self._next = min(self._early)
        return self._tell_ready()

    @property
    def has_gap(self) -> bool:
        """Whether later events are here and an earlier one is not."""
        return bool(self._early)

    def log(self, step: str, text: str) -> Line:
        """One line of a step's log, made safe for a terminal."""
        shown = printable(text)
        self._step(step).logged.append(shown)
        return Line(LineKind.LOG, shown, step)

    def log_lines(self, message: LogLines) -> tuple[Line, ...]:
        """As `log`, for a message of LOGS: a line that came before, by attempt and number, is told once."""
        step = message.step or ""
        attempt = (step, str(message.direction), message.attempt)
        told = self._told.get(attempt, 0)
        new = message.lines[max(0, told + 1 - message.first) :]
        self._told[attempt] = max(told, message.first + len(message.lines) - 1)
        return tuple(self.log(step, text) for text in new)

    def title(self, step: str) -> str:
        """What people call a step of this deployment."""
        return self._step(step).title

    def _tell_ready(self) -> tuple[Line, ...]:
        lines: list[Line] = []
        while event := self._early.pop(self._next, None):
            self._next += 1
            lines += self._tell(event)
        return tuple(lines)

    def _tell(self, event: Event) -> Iterator[Line]:
        try:
            fact = event.fact()
        except (UnknownFact, ValueError):
            return  # a newer writer's event: the reader's next version tells it
        yield from self._lines_of(fact, event)

    def _step(self, name: str) -> _Step:
        if name not in self._steps:
            kind = max((k for k in STEP_KINDS if name == k or name.startswith(f"{k}-")), key=len, default=None)
            self._steps[name] = _Step(title_of(name), STEP_KINDS[kind].stage if kind else Stage.DEPLOY)
        return self._steps[name]

    def _in_stage(self, stage: Stage | None) -> Iterator[Line]:
        if stage is not None and stage is not self._stage and not self._back:
            self._stage = stage
            yield Line(LineKind.STAGE, str(stage))

    def _begin(self, event: Event) -> _Step:
        step = self._step(event.step or "")
        step.started = event.time
        return step

    @singledispatchmethod
    def _lines_of(self, fact: Fact, event: Event) -> Iterator[Line]:
        """What a fact gives. This one: the fact of a step that was done or undone."""
        if event.step is None:
            return
        step = self._step(event.step or "")
        if event.outcome == "undone" or (event.outcome is None and self._back):
            yield Line(LineKind.UNDONE, phrases.undone(step.title, fact), event.step, _took(step, event))
            return
        yield from self._in_stage(event.stage or step.stage)
        detail = phrases.detail(fact)
        text = f"{step.title} ({detail})" if detail else step.title
        yield Line(LineKind.DONE, text, event.step, _took(step, event))

    @_lines_of.register
    def _planned(self, fact: e.DeploymentPlanned, _: Event) -> Iterator[Line]:
        for planned in fact.steps:
            step = self._step(planned.step)
            step.stage = planned.stage
        yield from (Line(LineKind.NOTE, note) for note in fact.notes)

    @_lines_of.register
    def _created(self, fact: e.DeploymentCreated, event: Event) -> Iterator[Line]:
        yield Line(LineKind.HEADING, f"{event.project}/{event.environment}")
        if what := phrases.what(fact):
            yield Line(LineKind.DETAIL, what)

    @_lines_of.register
    def _started(self, _: e.StepStarted, event: Event) -> Iterator[Line]:
        step = self._begin(event)
        yield from self._in_stage(event.stage or step.stage)
        yield Line(LineKind.STARTED, step.title, event.step)

    @_lines_of.register
    def _retried(self, fact: e.StepRetried, event: Event) -> Iterator[Line]:
        step = self._step(event.step or "")
        yield Line(LineKind.RETRIED, f"{step.title}: attempt {fact.attempt} ({fact.reason})", event.step)

    @_lines_of.register
    def _failed(self, fact: e.StepFailed, event: Event) -> Iterator[Line]:
        step = self._step(event.step or "")
        yield from self._in_stage(event.stage or step.stage)
        yield Line(LineKind.FAILED, step.title, event.step, _took(step, event))
        yield from _why(fact.failure, told=step.logged)

    @_lines_of.register
    def _asked(self, fact: e.GateRequested, event: Event) -> Iterator[Line]:
        step = self._begin(event)
        yield from self._in_stage(event.stage or step.stage)
        yield Line(LineKind.STARTED, step.title, event.step)
        yield Line(LineKind.WAITING, f"{step.title} is {phrases.gate_question(fact)}", event.step)

    @_lines_of.register
    def _gate_failed(self, fact: e.GateFailed, event: Event) -> Iterator[Line]:
        step = self._step(event.step or "")
        yield Line(LineKind.FAILED, step.title, event.step, _took(step, event))
        yield Line(LineKind.DETAIL, phrases.gate_answer(fact), event.step)

    @_lines_of.register
    def _approval(self, fact: f.ApprovalRequested, event: Event) -> Iterator[Line]:
        yield from self._in_stage(Stage.AUTH)
        self._waits = True
        yield Line(LineKind.WAITING, f"waits for approval: {fact.reason or fact.rule}", event.step)
        yield Line(LineKind.HINT, f"slipway approve {self.deployment}")

    @_lines_of.register
    def _approved(self, fact: f.DeploymentApproved, event: Event) -> Iterator[Line]:
        self._waits = False
        yield Line(LineKind.DONE, f"approved by {fact.by}" + (f": {fact.reason}" if fact.reason else ""), event.step)

    @_lines_of.register
    def _queued(self, fact: e.DeploymentQueued, _: Event) -> Iterator[Line]:
        if fact.behind:
            yield Line(LineKind.WAITING, f"waits for deployment {fact.behind}, which holds the environment")

    @_lines_of.register
    def _turned_back(self, fact: e.CompensationStarted, _: Event) -> Iterator[Line]:
        self._back = True
        # A failure was told a moment ago; what else makes it go back, a cancel for one, was not.
        yield Line(LineKind.BACK, "Rolling back" if fact.failure else f"Rolling back: {_first_line(fact.reason)}")

    @_lines_of.register
    def _undoing(self, _: e.UndoStarted, event: Event) -> Iterator[Line]:
        step = self._begin(event)
        yield Line(LineKind.UNDOING, step.title, event.step)

    @_lines_of.register
    def _undo_failed(self, fact: e.CompensationFailed, event: Event) -> Iterator[Line]:
        step = self._step(event.step or "")
        yield Line(LineKind.UNDO_FAILED, step.title, event.step, _took(step, event))
        yield from _why(fact.failure)

    @_lines_of.register
    def _succeeded(self, fact: e.DeploymentSucceeded, _: Event) -> Iterator[Line]:
        self.outcome = "succeeded"
        if fact.changed:
            yield Line(LineKind.SUCCEEDED, "Live" if fact.urls or fact.releases else "Done", seconds=fact.seconds)
        else:
            yield Line(LineKind.SUCCEEDED, "Nothing to do: all of it runs already")
        yield from (Line(LineKind.ADDRESS, url) for url in fact.urls)
        yield from (Line(LineKind.NOTE, alert) for alert in fact.alerts)

    @_lines_of.register
    def _rolled_back(self, fact: e.DeploymentRolledBack, _: Event) -> Iterator[Line]:
        self.outcome = "rolled_back"
        yield Line(LineKind.ENDED, "Rolled back", seconds=fact.seconds)
        yield Line(LineKind.DETAIL, "The environment runs what it ran before.")
        yield from _because(fact.reason, fact.failure)
        yield from (Line(LineKind.NOTE, kept) for kept in fact.kept)
        yield self._explain()

    @_lines_of.register
    def _ended_untouched(self, fact: e.DeploymentFailed, _: Event) -> Iterator[Line]:
        self.outcome = "failed"
        yield Line(LineKind.ENDED, "Failed", seconds=fact.seconds)
        yield Line(LineKind.DETAIL, "Nothing was touched: the environment runs what it ran before.")
        yield from _because(fact.reason, fact.failure)
        yield self._explain()

    @_lines_of.register
    def _denied(self, fact: f.DeploymentDenied, event: Event) -> Iterator[Line]:
        yield from self._in_stage(Stage.AUTH)
        self.outcome = "denied"
        yield Line(LineKind.ENDED, f"Denied: {fact.reason}")
        yield Line(LineKind.DETAIL, f"Decided by the rule: {fact.rule}", event.step)

    @_lines_of.register
    def _cancelled(self, fact: e.DeploymentCancelled, _: Event) -> Iterator[Line]:
        self.outcome = "cancelled"
        yield Line(LineKind.ENDED, f"Cancelled by {fact.by}", seconds=fact.seconds)
        after = "" if fact.compensated else "Nothing was touched: "
        yield Line(LineKind.DETAIL, f"{after}the environment runs what it ran before.".capitalize())
        yield from (Line(LineKind.NOTE, kept) for kept in fact.kept)

    @_lines_of.register
    def _superseded(self, fact: e.DeploymentSuperseded, _: Event) -> Iterator[Line]:
        self.outcome = "superseded"
        by = f" by {fact.by}" if fact.by else ""
        yield Line(LineKind.ENDED, f"Superseded{by}" + (f": {fact.reason}" if fact.reason else ""))

    @_lines_of.register
    def _stuck(self, fact: e.DeploymentStuck, _: Event) -> Iterator[Line]:
        self.outcome = "stuck"
        title = self._step(fact.step).title
        yield Line(LineKind.ENDED, f"Stuck: undoing “{title}” keeps failing; the environment stays locked")
        yield from _why(fact.failure)
        yield Line(LineKind.HINT, f"slipway explain {self.deployment}, then retry or accept it")

    @_lines_of.register
    def _unstuck(self, fact: e.DeploymentUnstuck, _: Event) -> Iterator[Line]:
        self.outcome = None
        yield Line(LineKind.NOTE, f"{fact.by} chose to {fact.action}" if fact.by else "The undo has worked after all")

    @_lines_of.register
    def _taken(self, _: e.DeploymentStarted, __: Event) -> Iterator[Line]:
        return iter(())

    def _explain(self) -> Line:
        return Line(LineKind.HINT, f"slipway explain {self.deployment}")


def _because(reason: str, failure: Failure | None) -> Iterator[Line]:
    said = failure.message if failure and failure.message not in reason else reason
    yield from (Line(LineKind.DETAIL, printable(line)) for line in said.splitlines() if line.strip())


def _why(failure: Failure, told: Collection[str] = ()) -> Iterator[Line]:
    """The failure, and the last lines of what ran without those that were told."""
    yield from (Line(LineKind.DETAIL, printable(line)) for line in failure.message.splitlines() if line.strip())
    lines = (printable(line) for line in failure.log_tail if line not in failure.message.splitlines())
    yield from (Line(LineKind.LOG, line) for line in lines if line not in told)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _took(step: _Step, event: Event) -> float | None:
    """How long the worker was at it, by its own clock; else since it was seen to start."""
    if event.seconds is not None:
        return event.seconds
    return None if step.started is None else max(0.0, (event.time - step.started).total_seconds())
