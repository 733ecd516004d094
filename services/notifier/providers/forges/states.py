"""What a forge shows of a deployment at each of its events. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from shared.contracts.answers import Failure
from shared.contracts.events import Event
from shared.printable import printable

DESCRIPTION = 140
"""The longest description, in characters: GitHub takes no more."""


class Stage(StrEnum):
    """How far a deployment is. Each forge's file has a table from these to its own words."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    """Ended, and nothing was touched."""
    STUCK = "stuck"
    """Waits for a person."""
    INACTIVE = "inactive"
    """Cancelled, or superseded by a newer one."""


@dataclass(frozen=True)
class ForgeState:
    """One row: the stage, and what is said."""

    stage: Stage
    description: str


FORGE_STATES: dict[str, ForgeState] = {
    "DeploymentCreated": ForgeState(Stage.QUEUED, "Waiting to be authorised"),
    "ApprovalRequested": ForgeState(Stage.QUEUED, "Waiting for approval"),
    "DeploymentAuthorized": ForgeState(Stage.RUNNING, "Building"),
    "DeploymentApproved": ForgeState(Stage.RUNNING, "Building"),
    "GateRequested": ForgeState(Stage.RUNNING, "Waiting for a gate"),
    "GatePassed": ForgeState(Stage.RUNNING, "A gate has passed"),
    "DeploymentQueued": ForgeState(Stage.QUEUED, "Built, waiting for the environment"),
    "DeploymentStarted": ForgeState(Stage.RUNNING, "Deploying"),
    "CompensationStarted": ForgeState(Stage.RUNNING, "Going back to the former release"),
    "DeploymentSucceeded": ForgeState(Stage.SUCCEEDED, "Live"),
    "DeploymentRolledBack": ForgeState(Stage.ROLLED_BACK, "Rolled back"),
    "DeploymentFailed": ForgeState(Stage.FAILED, "Failed, nothing was touched"),
    "DeploymentDenied": ForgeState(Stage.FAILED, "Denied"),
    "DeploymentStuck": ForgeState(Stage.STUCK, "Stuck: an undo keeps failing"),
    "DeploymentCancelled": ForgeState(Stage.INACTIVE, "Cancelled"),
    "DeploymentSuperseded": ForgeState(Stage.INACTIVE, "Superseded by a newer deployment"),
}
"""By the event's name. Events that are not here show nothing."""


_NOTHING_TO_DO = "Nothing to do: all of it runs already"


def description_of(state: ForgeState, event: Event) -> str:
    """What is said, with the reason where the event has one, in one line that fits."""
    text = printable(": ".join(part for part in (words_of(state, event), reason_of(event)) if part))
    return text if len(text) <= DESCRIPTION else f"{text[: DESCRIPTION - 1]}…"


def words_of(state: ForgeState, event: Event) -> str:
    """What is said without the reason: the platform's own words."""
    unchanged = event.name == "DeploymentSucceeded" and event.data.get("changed") is False
    return _NOTHING_TO_DO if unchanged else state.description


def reason_of(event: Event) -> str:
    """Why it is so, where that is worth a word; it may hold text from outside."""
    if event.name in ("DeploymentAuthorized", "DeploymentApproved", "CompensationStarted"):
        return ""
    return str(event.data.get("reason") or event.data.get("rule") or _message(event))


def _message(event: Event) -> str:
    failure = event.data.get("failure")
    return Failure.model_validate(failure).message if failure else ""


def environment_url(event: Event) -> str:
    """The first address that a succeeded deployment answers at."""
    urls = event.data.get("urls")
    return str(urls[0]) if event.name == "DeploymentSucceeded" and isinstance(urls, list) and urls else ""
