"""Tells a story in events as services publish them: ids, times, numbers, causes and steps follow from what is told. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.contracts.events import Event, GateRequested, fact_name_parts
from shared.contracts.facts import Fact
from shared.contracts.steps import AUTHORISE, INSPECT, STEP_KINDS, StepKind
from shared.topology import events_of

START = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
OF_STEPS = {"StepStarted": "started", "StepRetried": "retried", "UndoStarted": "undoing", "CompensationFailed": "undo_failed"}
"""Events of any step, and the outcome that each says."""
ENDS = {
    "DeploymentCreated": "authorizing",
    "DeploymentQueued": "queued",
    "DeploymentStarted": "running",
    "DeploymentSucceeded": "succeeded",
    "DeploymentRolledBack": "rolled_back",
    "DeploymentFailed": "failed",
    "DeploymentDenied": "denied",
    "DeploymentCancelled": "cancelled",
    "DeploymentSuperseded": "superseded",
    "DeploymentStuck": "stuck",
}
"""Events of the deployment itself, and its state from then on."""
_ITEMS = {"database": "db", "job": "migrate", "gate": "scanner"}
"""What a step is about whose event does not say; of others it is the service web."""


@dataclass(frozen=True)
class At:
    """A fact of a step that the fact itself does not tell."""

    step: str
    fact: Fact
    outcome: str = ""


@dataclass
class Telling:
    """All that was told so far; a second passes from one event to the next."""

    organization: str
    project: str
    events: list[Event] = field(default_factory=list)

    def identity(self, number: int) -> str:
        """An id as they are everywhere: 26 characters that sort by time."""
        return f"01kb3vq8r0{number:016d}"

    def deployment(self, number: int, environment: str, *facts: Fact | At, cause: str | None = None) -> str:
        """The events of one deployment, from its first; each comes of the one before."""
        identity = self.identity(number)
        for sequence, told in enumerate(facts, start=1):
            step, outcome = _place_of(told)
            event = Event.of(
                told.fact if isinstance(told, At) else told, self.organization, self.project, environment,
                cause=cause, deployment=identity, step=step, sequence=sequence, outcome=outcome, stage=_kind_of(step).stage if step else None,
            )  # fmt: skip
            cause = self._add(event, f"{identity}.{sequence}")
        return identity

    def happens(self, fact: Fact, project: str | None = None, environment: str | None = None, *, cause: str | None = None) -> str:
        """An event of no deployment; its id."""
        event = Event.of(fact, self.organization, project, environment, cause=cause)
        return self._add(event, self.identity(900 + len(self.events)))

    def _add(self, event: Event, identity: str) -> str:
        at = START + timedelta(seconds=len(self.events))
        self.events.append(event.model_copy(update={"id": identity, "time": at}))
        return identity


def source_of(event: Event) -> str:
    """The service that tells it."""
    noun = fact_name_parts(event.name).partition(".")[0]
    return next((service for service in ("api", "notifier") if noun in events_of(service)), "coordinator")


def _place_of(told: Fact | At) -> tuple[str | None, str | None]:
    """Step and outcome."""
    if isinstance(told, At):
        return told.step, told.outcome or OF_STEPS[type(told.fact).__name__]
    name = type(told).__name__
    if name in ENDS:
        return None, ENDS[name]
    if isinstance(told, GateRequested):
        return f"gate-{told.gate}", "started"
    for kind in STEP_KINDS.values():
        for outcome, facts in (("done", kind.done), ("failed", (kind.failed,)), ("undone", (kind.undone,))):
            if type(told) in facts:
                return _step_of(kind, told), outcome
    return None, None


def _step_of(kind: StepKind, fact: Fact) -> str:
    if kind in (AUTHORISE, INSPECT):
        return kind.name
    said: Sequence[str | None] = [getattr(fact, name, None) for name in ("service", "database", "job", "gate")]
    usual = next((item for word, item in _ITEMS.items() if word in kind.name), "web")
    return f"{kind.name}-{next((item for item in said if item), usual)}"


def _kind_of(step: str) -> StepKind:
    return STEP_KINDS[max((name for name in STEP_KINDS if step == name or step.startswith(f"{name}-")), key=len)]
