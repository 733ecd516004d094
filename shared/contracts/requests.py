"""What people wish: written by api, read by coordinator. Authorised by api before they are written."""

from pydantic import Field

from shared.contracts.gates import Verdict
from shared.contracts.places import Place
from shared.messages import Message, Slug


class Request(Message):
    """A person's wish. `subject` is the person (or token) that api has checked against the table of permissions."""

    organization: Slug
    subject: str
    subject_name: str = Field(default="", description="As people know them; any Unicode")

    @property
    def by(self) -> str:
        """Who it was, for people."""
        return self.subject_name or self.subject

    @property
    def verb(self) -> str:
        """The last part of the message's subject."""
        return type(self).__name__.removesuffix("Requested").lower()


class DeployRequested(Request):
    """Deploy an environment: the given commit, or else what it follows (the newest known change), or a former deployment again."""

    place: Place
    ref: str | None = None
    commit: str | None = None
    again: str | None = Field(default=None, description="Deployment whose commit is deployed again")
    rebuild: bool = Field(default=False, description="Build every image anew, with the newest base images, and release every service anew")


class RollbackRequested(Request):
    """Return an environment to what it ran after `to`, or before its newest successful deployment where `to` is missing."""

    place: Place
    to: str | None = Field(default=None, description="A deployment that succeeded")


class RemoveRequested(Request):
    """Remove everything that an environment runs (its catalogue entry goes when the deployment has succeeded)."""

    place: Place


class ExpireRequested(Request):
    """Remove a preview: api's own wish, where nobody updated it for too long, or its change request is over and it is still there."""

    place: Place
    reason: str


class CancelRequested(Request):
    """End a deployment: before the lock it is dropped, with the lock it is compensated, after the pivot it is refused."""

    target_deployment: str


class ApproveRequested(Request):
    """Let a waiting deployment go on, or refuse it."""

    target_deployment: str
    approved: bool = True
    reason: str = ""


class RetryRequested(Request):
    """Try again the undo at which a deployment is stuck."""

    target_deployment: str


class AcceptRequested(Request):
    """Accept a stuck deployment as it stands: the lock is released, what could not be undone is recorded."""

    target_deployment: str


class AnswerRequested(Request):
    """Answer a gate. Its `time` is when the answer came, by the database's clock: what came in time counts, however late it is read."""

    target_deployment: str
    gate: Slug
    gate_id: str
    result: Verdict
    reason: str = ""


REQUESTS: tuple[type[Request], ...] = (
    DeployRequested,
    RollbackRequested,
    RemoveRequested,
    ExpireRequested,
    CancelRequested,
    ApproveRequested,
    RetryRequested,
    AcceptRequested,
    AnswerRequested,
)
