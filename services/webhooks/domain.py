"""What webhooks speaks of: where pushes and change requests come from, what they say, and how they arrive."""

from dataclasses import dataclass
from enum import StrEnum

from shared.contracts.changes import ChangeRequestClosed, FoundBy, Pusher, RequestChange
from shared.forges import REQUEST_REFS, kind_of


class State(StrEnum):
    """What became of a change."""

    PENDING = "pending"
    """Written, and not yet settled by the coordinator: it is sent again."""
    TAKEN = "taken"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Origin:
    """Where pushes come from: a connection and the repository that it is for (empty: any).

    `forge`: the server whose accounts push, as the connection's address says (`shared.forges.server_of`), or `slipway`.
    """

    organization: str
    project: str
    connection: str
    forge: str
    repository: str
    clone_url: str


@dataclass(frozen=True)
class Push:
    """A ref that moved, as a forge says it. `commit` None: the ref was deleted; `before` None: it was made.

    `repository` begins with a slash where the forge does not say its own host. `title` is the head commit's message, as far as it is
    known; its first line is kept. `skips` is what in the message asks for no deployment. `obstacle`: why the forge's words alone do
    not lead to a commit.
    """

    repository: str
    clone_url: str
    ref: str
    before: str | None
    commit: str | None
    pusher: Pusher
    title: str = ""
    author: str = ""
    web_url: str | None = None
    skips: str = ""
    obstacle: str = ""


class RequestAction(StrEnum):
    """What happened to a change request."""

    OPENED = "opened"
    """Or opened again."""
    UPDATED = "updated"
    """Its source has new commits, or it goes to another branch."""
    CLOSED = "closed"
    """Not merged."""
    MERGED = "merged"


@dataclass(frozen=True)
class ChangeRequest:
    """A pull request or merge request, as a forge tells of it. `number` is never given twice in its repository.

    `commit` is the source's head; Bitbucket Cloud says its first digits only. `fork`: its source is another repository,
    or may be of somebody who cannot push to this one.
    """

    repository: str
    number: str
    action: RequestAction
    source_repository: str
    source: str
    target: str
    commit: str
    fork: bool
    by: Pusher
    title: str = ""
    web_url: str | None = None

    @property
    def closes(self) -> bool:
        """It is over: its commit does not matter any more."""
        return self.action in {RequestAction.CLOSED, RequestAction.MERGED}

    def ref(self, origin: Origin) -> str:
        """Where the connection's repository has its commit; empty: nowhere."""
        if not self.fork or self.closes:
            return f"refs/heads/{self.source}"
        return REQUEST_REFS.get(kind_of(origin.forge), "").format(self.number)

    def __str__(self) -> str:
        of = f" of the fork {self.source_repository or 'that is gone'}" if self.fork else ""
        return f"change request {self.number} was {self.action} ({self.source}{of} → {self.target})"


@dataclass(frozen=True)
class Delivery:
    """One webhook request as it came. Told apart by connection, event and key. `reason`: why it leads to no change, whatever is known.

    `trace` is the span that took it (W3C traceparent).
    """

    id: str
    origin: Origin
    hook: str
    key: str
    event: str
    headers: dict[str, str]
    body: bytes
    trace: str
    reason: str = ""

    @property
    def owner(self) -> str:
        """The project that it came to."""
        return f"{self.origin.organization}/{self.origin.project}"


@dataclass(frozen=True)
class Arrival:
    """Pushes that arrived together. `expected`: the arrival number that the sweep saw before it looked at the forge.

    `delivery`: the id of the stored delivery that says so; `ignored`: why that says nothing. `request`: what happened to a change request.
    `trace` is the span of what brought them (W3C traceparent); where several came together, each begins a trace of its own.
    """

    origin: Origin
    found_by: FoundBy
    pushes: tuple[Push, ...]
    delivery: str | None = None
    expected: int | None = None
    trace: str | None = None
    ignored: str = ""
    request: ChangeRequest | None = None


@dataclass(frozen=True)
class Head:
    """The last change known of a ref."""

    commit: str
    arrival: int
    change: str
    state: State


@dataclass(frozen=True)
class LastOfRequest:
    """The last change known of a change request."""

    change: RequestChange
    state: State

    @property
    def is_over(self) -> bool:
        """It was closed."""
        return isinstance(self.change, ChangeRequestClosed)

    @property
    def stands(self) -> bool:
        """It led to something, and is open as far as is known."""
        return self.state is State.TAKEN and not self.is_over


@dataclass(frozen=True)
class Known:
    """A push that is no new change, and why; `change` is the one that says the same already.

    `moved`: the ref stands at the push's commit now, and that is known, lest the sweep take it for missed.
    """

    reason: str
    ref: str
    change: str | None = None
    moved: bool = False


def is_of(repository: str, origin: Origin) -> bool:
    """Whether the origin takes pushes of this repository; one that begins with a slash may be on any host."""
    said, wanted = repository.lower(), origin.repository.lower()
    return not wanted or said == wanted or (said.startswith("/") and wanted.endswith(said))
