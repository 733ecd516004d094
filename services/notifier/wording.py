"""What people read: one event as a title and a few lines. Pure. Text from outside stays one line of plain text."""

from dataclasses import dataclass
from enum import StrEnum

from services.notifier.deployments import Deployment
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.events import Event
from shared.contracts.facts import UnknownFact
from shared.phrases import gate_answer, gate_question
from shared.printable import printable


class Tone(StrEnum):
    """How serious it is."""

    GOOD = "success"
    PLAIN = "info"
    WARNING = "warning"
    BAD = "failure"


@dataclass(frozen=True)
class Wording:
    """A title, lines below it, and how serious it is."""

    title: str
    lines: tuple[str, ...]
    tone: Tone

    @property
    def body(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def wording(event: Event, deployment: Deployment | None, public_url: str = "") -> Wording:
    """How an event is told."""
    place = "/".join(part for part in (event.project or event.organization, event.environment) if part)
    what, lines, tone = _told(event)
    about = _about(deployment) if deployment else []
    link = [f"{public_url.rstrip('/')}/deployments/{event.deployment}"] if public_url and event.deployment else []
    texts = [printable(line) for line in (*lines, *about, *link)]
    return Wording(f"{place} {what}", tuple(line for line in texts if line), tone)


def _about(deployment: Deployment) -> list[str]:
    commit = f"{deployment.commit[:10]} {deployment.title}".strip()
    by = f"pushed by {deployment.pusher}" if deployment.pusher else ""
    return [line for line in (commit, by) if line]


def _told(event: Event) -> tuple[str, list[str], Tone]:  # noqa: C901, PLR0911, PLR0912 -- one line for each kind of event
    try:
        fact = event.fact()
    except (UnknownFact, ValueError):
        return _plain_name(event.name), [], Tone.PLAIN
    match fact:
        case e.DeploymentSucceeded():
            what = f"is live{_after(fact.seconds)}" if fact.changed else "runs all of it already: nothing to do"
            return what, [*fact.urls, *fact.alerts], Tone.WARNING if fact.alerts else Tone.GOOD
        case e.DeploymentRolledBack():
            kept = [f"cannot come back: {each}" for each in fact.kept]
            return f"was rolled back{_after(fact.seconds)}", [fact.reason, *_why(fact.failure), *kept], Tone.BAD
        case e.DeploymentFailed():
            return "failed; nothing was touched", [fact.reason, *_why(fact.failure)], Tone.BAD
        case f.DeploymentDenied():
            return "was denied", [fact.rule, fact.reason], Tone.WARNING
        case f.ApprovalRequested():
            return "waits for approval", [fact.rule, fact.reason, f"slipway approve {event.deployment}"], Tone.WARNING
        case e.DeploymentCancelled():
            return f"was cancelled by {fact.by}", [f"cannot come back: {each}" for each in fact.kept], Tone.WARNING
        case e.DeploymentSuperseded():
            return "was superseded by a newer one", [fact.reason], Tone.PLAIN
        case e.DeploymentStuck():
            return "is stuck: an undo keeps failing", [fact.failure.message, f"slipway explain {event.deployment}"], Tone.BAD
        case e.MessageGivenUp():
            return f"has a dead letter of {fact.service}", [fact.reason, f"slipway deadletters show {fact.letter}"], Tone.BAD
        case e.GateRequested():
            return f"waits for gate {fact.gate}", [gate_question(fact)], Tone.PLAIN
        case e.GatePassed():
            return f"passed gate {fact.gate}", [gate_answer(fact)], Tone.PLAIN
        case e.GateFailed():
            return f"failed at gate {fact.gate}", [gate_answer(fact)], Tone.BAD
        case e.StepFailed():
            return f"{fact.title or _plain_name(event.name)} failed", _why(fact.failure), Tone.BAD
        case _:
            return _plain_name(event.name), [], Tone.PLAIN


def _why(failure: Failure | None) -> list[str]:
    return [failure.message, *failure.log_tail[-5:]] if failure else []


def _after(seconds: float) -> str:
    return f" after {seconds:.0f} s" if seconds >= 1 else ""


def _plain_name(name: str) -> str:
    return e.fact_name_parts(name).replace(".", " ").replace("_", " ")
