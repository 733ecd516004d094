"""What a forge shows of a deployment at each of its events. Pure.

Deployment states: https://docs.github.com/rest/deployments/statuses; commit states:
https://docs.github.com/rest/commits/statuses.
"""

from dataclasses import dataclass

from shared.contracts.answers import Failure
from shared.contracts.events import Event
from shared.printable import printable

DESCRIPTION = 140
"""The longest description that GitHub takes, in characters."""


@dataclass(frozen=True)
class ForgeState:
    """One row: the deployment's state, the commit's, and what is said."""

    deployment: str
    commit: str
    description: str


FORGE_STATES: dict[str, ForgeState] = {
    "DeploymentCreated": ForgeState("queued", "pending", "Waiting to be authorised"),
    "ApprovalRequested": ForgeState("queued", "pending", "Waiting for approval"),
    "DeploymentAuthorized": ForgeState("in_progress", "pending", "Building"),
    "DeploymentApproved": ForgeState("in_progress", "pending", "Building"),
    "DeploymentQueued": ForgeState("queued", "pending", "Built, waiting for the environment"),
    "DeploymentStarted": ForgeState("in_progress", "pending", "Deploying"),
    "CompensationStarted": ForgeState("in_progress", "pending", "Going back to the former release"),
    "DeploymentSucceeded": ForgeState("success", "success", "Live"),
    "DeploymentRolledBack": ForgeState("failure", "failure", "Rolled back"),
    "DeploymentFailed": ForgeState("failure", "failure", "Failed, nothing was touched"),
    "DeploymentDenied": ForgeState("failure", "failure", "Denied"),
    "DeploymentStuck": ForgeState("error", "error", "Stuck: an undo keeps failing"),
    "DeploymentCancelled": ForgeState("inactive", "error", "Cancelled"),
    "DeploymentSuperseded": ForgeState("inactive", "error", "Superseded by a newer deployment"),
}
"""By the event's name. Events that are not here show nothing."""


def description_of(state: ForgeState, event: Event) -> str:
    """What is said, with the reason where the event has one, in one line that fits."""
    reason = event.data.get("reason") or event.data.get("rule") or _message(event)
    wanted = event.name not in ("DeploymentAuthorized", "DeploymentApproved", "CompensationStarted")
    text = printable(f"{state.description}: {reason}" if reason and wanted else state.description)
    return text if len(text) <= DESCRIPTION else f"{text[: DESCRIPTION - 1]}…"


def _message(event: Event) -> str:
    failure = event.data.get("failure")
    return Failure.model_validate(failure).message if failure else ""


def environment_url(event: Event) -> str:
    """The first address that a succeeded deployment answers at."""
    urls = event.data.get("urls")
    return str(urls[0]) if event.name == "DeploymentSucceeded" and isinstance(urls, list) and urls else ""
