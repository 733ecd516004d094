"""Pure rules: what a push is, whether it is a change, and why not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.contracts.changes import (
    ChangePushed,
    ChangeRequestClosed,
    ChangeRequestOpened,
    ChangeRequestUpdated,
    FoundBy,
    Pusher,
    RequestChange,
)
from shared.forges import REQUEST_REFS, kind_of
from shared.ref_patterns import matches

LONGEST_REF = 1000
_SKIPS = re.compile(r"\[(?:skip ci|ci skip)\]|\*\*\*NO_CI\*\*\*", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
NO_COMMIT = "0" * 40
"""The object name that stands for "none"."""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORBIDDEN_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ufffd]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[./]$")
"""git-check-ref-format(1); U+FFFD is what is left of bytes that no text can hold."""


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

    `commit` is the source's head; Bitbucket Cloud says its first digits only. `fork`: its source is another repository.
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
    """One webhook request as it came. Told apart by connection, hook and key."""

    id: str
    hook: str
    key: str
    event: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Arrival:
    """Pushes that arrived together. `expected`: the arrival number that the sweep saw before it looked at the refs.

    `request`: what happened to a change request. `ignored`: why the delivery tells of neither. `again`: the id of the stored delivery that a person had read again. `trace` is the span of what brought them (W3C traceparent); where several came together, each begins a trace of its own.
    """

    origin: Origin
    found_by: FoundBy
    pushes: tuple[Push, ...]
    delivery: Delivery | None = None
    expected: int | None = None
    trace: str | None = None
    ignored: str = ""
    again: str | None = None
    request: ChangeRequest | None = None


@dataclass(frozen=True)
class Head:
    """The last change known of a ref."""

    commit: str
    arrival: int
    change: str
    state: State


@dataclass(frozen=True)
class Known:
    """A push that is no new change, and why; `change` is the one that says the same already.

    `moved`: the ref stands at the push's commit now, and that is known, lest the sweep take it for missed.
    """

    reason: str
    ref: str
    change: str | None = None
    moved: bool = False


def clean(text: str) -> str:
    """Text that PostgreSQL and UTF-8 can hold: NUL and lone surrogates become U+FFFD, pairs of surrogates one character."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


def is_commit(text: str) -> bool:
    """Whether it is a full object name, SHA-1 or SHA-256."""
    return _COMMIT.fullmatch(text) is not None


def is_zeros(text: str) -> bool:
    """Whether it is the object name that stands for "none"."""
    return set(text) == {"0"}


def is_ref(ref: str) -> bool:
    """Whether git allows such a full ref name."""
    return ref.startswith("refs/") and ref.count("/") >= 2 and not _FORBIDDEN_IN_REFS.search(ref)


def short(ref: str) -> str:
    """What people call a ref."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def follows(followed: Sequence[str], ref: str) -> bool:
    """Whether one of the followed refs, which may be patterns, is this one."""
    return any(matches(pattern, ref) for pattern in followed)


def is_of(repository: str, origin: Origin) -> bool:
    """Whether the origin takes pushes of this repository; one that begins with a slash may be on any host."""
    said, wanted = repository.lower(), origin.repository.lower()
    return not wanted or said == wanted or (said.startswith("/") and wanted.endswith(said))


def skip_marker(message: str) -> str:
    """What in a commit's message asks for no deployment: `[skip ci]`, `[ci skip]` or `***NO_CI***`, in any letters; empty: nothing."""
    found = _SKIPS.search(message)
    return found.group() if found else ""


def judge(push: Push, head: Head | None, arrival: Arrival) -> Known | None:
    """None: a change. Else why not.

    The rule of sameness: equal only to the last change of that ref that was not ignored. The sweep takes
    an ignored one for known too, lest it find it every minute. What a person delivers again is a change again,
    whatever was made of it before.
    """
    if reason := _leads_nowhere(push, arrival.origin):
        return Known(reason, push.ref)
    if arrival.found_by is FoundBy.REDELIVERY:
        return None
    if head is None:
        return _skipped(push)
    by_sweep = arrival.found_by is FoundBy.SWEEP
    if by_sweep and head.arrival != arrival.expected:
        return Known("a newer change came while the sweep looked", push.ref, head.change)
    if head.commit == push.commit and (by_sweep or head.state is not State.IGNORED):
        return Known("this change is known already", push.ref, head.change)
    return _skipped(push)


def _skipped(push: Push) -> Known | None:
    return Known(f"the commit's message asks for no deployment: {push.skips}", push.ref, moved=True) if push.skips else None


def _leads_nowhere(push: Push, origin: Origin) -> str:
    if not is_of(push.repository, origin):
        return f"the push is of {push.repository}, and the connection is for {origin.repository}"
    if len(push.ref) > LONGEST_REF or not is_ref(push.ref):
        return "the ref has a name that git does not allow, or a longer one than Slipway takes"
    if push.obstacle:
        return push.obstacle
    if push.commit is None:
        return "the ref was deleted: there is nothing to deploy"
    if push.commit == push.before:
        return "the head did not move"
    return ""


def why_ignored(request: ChangeRequest, origin: Origin) -> str:
    """Why a change request leads to no change; empty: it does."""
    if not is_of(request.repository, origin):
        return f"{request}: it is of {request.repository}, and the connection is for {origin.repository}"
    if not _NUMBER.fullmatch(request.number):
        return f"{request}: its number is none"
    ref = request.ref(origin)
    if not ref:
        return f"{request}: this forge keeps no commits of forks in the repository: it cannot be fetched. Push its branch there"
    if any(len(name) > LONGEST_REF or not is_ref(name) for name in (ref, f"refs/heads/{request.target}")):
        return f"{request}: its branch has a name that git does not allow, or a longer one than Slipway takes"
    return ""


_ACTIONS: Mapping[RequestAction, type[RequestChange]] = {
    RequestAction.OPENED: ChangeRequestOpened,
    RequestAction.UPDATED: ChangeRequestUpdated,
    RequestAction.CLOSED: ChangeRequestClosed,
    RequestAction.MERGED: ChangeRequestClosed,
}


def request_change_of(request: ChangeRequest, arrival: Arrival, number: int) -> RequestChange:
    """The message about a change request of which `why_ignored` says nothing, and whose commit is known in full (`cleaned_request`)."""
    origin = arrival.origin
    merged = {"merged": request.action is RequestAction.MERGED} if request.closes else {}
    return _ACTIONS[request.action].model_validate(
        {
            "organization": origin.organization,
            "project": origin.project,
            "connection": origin.connection,
            "repository": origin.repository or request.repository,
            "clone_url": origin.clone_url,
            "ref": request.ref(origin),
            "commit": request.commit,
            "arrival": number,
            "pusher": request.by.model_copy(update={"forge": origin.forge}),
            "title": request.title[:200],
            "found_by": arrival.found_by,
            "delivery": arrival.delivery.id if arrival.delivery else arrival.again,
            "web_url": request.web_url,
            "number": request.number,
            "source": request.source,
            "target": f"refs/heads/{request.target}",
            "fork": request.fork,
            **merged,
        }
    )


def change_of(push: Push, arrival: Arrival, number: int) -> ChangePushed:
    """The message; texts are cut to what a reader needs, so that it fits the bus whatever the forge sent.

    On which server the pusher has their account is the connection's word: a delivery could name any.
    """
    origin = arrival.origin
    assert push.commit is not None, "a deletion is no change"
    return ChangePushed(
        organization=origin.organization,
        project=origin.project,
        connection=origin.connection,
        repository=origin.repository or push.repository,
        clone_url=origin.clone_url or push.clone_url,
        ref=push.ref,
        commit=push.commit,
        before=push.before,
        arrival=number,
        pusher=push.pusher.model_copy(update={"forge": origin.forge}),
        title=push.title[:200],
        author=push.author[:200],
        found_by=arrival.found_by,
        delivery=arrival.delivery.id if arrival.delivery else arrival.again,
        web_url=push.web_url,
    )


def _cleaned_pusher(pusher: Pusher) -> Pusher:
    names = ("login", "id", "email", "person")
    return pusher.model_copy(update={name: clean(value)[:320] for name in names if (value := getattr(pusher, name)) is not None})


def cleaned_request(request: ChangeRequest) -> ChangeRequest:
    """The change request with every text fit for storage. One that is over need not say its commit in full."""
    return replace(
        request,
        repository=clean(request.repository)[:500],
        number=clean(request.number)[:50],
        source_repository=clean(request.source_repository)[:500],
        source=clean(request.source),
        target=clean(request.target),
        commit=NO_COMMIT if request.closes and not is_commit(request.commit) else request.commit,
        by=_cleaned_pusher(request.by),
        title=clean(next(iter(request.title.strip().splitlines()), "")),
        web_url=clean(request.web_url)[:2000] if request.web_url else None,
    )


def cleaned(push: Push) -> Push:
    """The push with every text fit for storage."""
    return replace(
        push,
        repository=clean(push.repository)[:500],
        clone_url=clean(push.clone_url)[:2000],
        ref=clean(push.ref),
        pusher=_cleaned_pusher(push.pusher),
        title=clean(next(iter(push.title.strip().splitlines()), "")),
        skips=skip_marker(push.title),
        author=clean(push.author),
        web_url=clean(push.web_url)[:2000] if push.web_url else None,
    )
