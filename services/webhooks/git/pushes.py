"""The other end of the post-receive hook: ref updates become Changes, durably, before the pusher hears a word."""

import asyncio
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import psutil
import structlog
from opentelemetry.trace import SpanKind

from services.webhooks.domain import Arrival, Origin, Push
from services.webhooks.git.access import Visitor
from services.webhooks.git.pipeline import Pipeline
from services.webhooks.git.repositories import Repositories, Repository, Summary
from services.webhooks.recording import together
from services.webhooks.refs import follows, is_zeros, short
from services.webhooks.store import Recorded, Store
from shared.contracts.changes import Change, FoundBy, Pusher
from shared.contracts.commands import OWN_CONNECTION
from shared.listening import listening
from shared.postgres import UNAVAILABLE
from shared.printable import printable
from shared.telemetry import span, traceparent

log = structlog.get_logger()

HANDOVER_S = 30.0
"""How long a hook may take to say what it has to say."""
AT_ONCE = 500
"""Refs of a push that are recorded in one transaction: of the rest the sweep finds what a crash keeps from being recorded."""
_PREFIX = "slipway-webhooks-"
_LONGEST_SOCKET_PATH = 107
"""https://man7.org/linux/man-pages/man7/unix.7.html: 108 bytes, of which the last is a NUL."""
_LONGEST_OWN = len(f"/{_PREFIX}4194304-12345678/hook.sock")


@dataclass
class PushSession:
    """One `git push` that is under way. `token` is what its hook shows; `gone` is set when the pusher has left."""

    repository: Repository
    visitor: Visitor
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Update:
    """One line of the hook: the ref's old and new object, None for no object."""

    old: str | None
    new: str | None
    ref: str


class Hooks:
    """The folder of our one hook and the socket that it talks to; both belong to this process alone."""

    def __init__(self, run: Path) -> None:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(os.fsencode(run)) + _LONGEST_OWN > _LONGEST_SOCKET_PATH:
            run = Path(gettempdir())
        _remove_leftovers(run)
        self._private = Path(mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=run))
        self.socket = self._private / "hook.sock"
        self.folder = self._private / "hooks"

    def write(self) -> None:
        """Writes the hook: this interpreter, on the script beside this module."""
        self.folder.mkdir(exist_ok=True)
        script = Path(__file__).with_name("post_receive.py")
        hook = self.folder / "post-receive"
        hook.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(script))}\n")
        hook.chmod(0o700)

    def remove(self) -> None:
        """Takes the folder away."""
        shutil.rmtree(self._private, ignore_errors=True)


def _remove_leftovers(run: Path) -> None:
    """What processes left that were killed."""
    for folder in run.glob(f"{_PREFIX}*-*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


class Pushes:
    """Knows the pushes under way, and answers their hooks."""

    def __init__(self, store: Store, repositories: Repositories, pipeline: Pipeline, hooks: Hooks, clone_url: str) -> None:
        self._store = store
        self._repositories = repositories
        self._pipeline = pipeline
        self._hooks = hooks
        self._clone_url = clone_url.rstrip("/")
        self._sessions: dict[str, PushSession] = {}

    @contextmanager
    def session(self, repository: Repository, visitor: Visitor) -> Iterator[PushSession]:
        """Opens a session for as long as git works on the push."""
        session = PushSession(repository, visitor)
        self._sessions[session.token] = session
        try:
            yield session
        finally:
            self._sessions.pop(session.token, None)

    def environment(self, session: PushSession) -> dict[str, str]:
        """What git and its hook need to know of the push. The reflog keeps who pushed, for the sweep."""
        person = session.visitor.person
        name = "".join(character for character in printable(person.name) if character not in "<>") if person else ""
        return {
            "SLIPWAY_SOCKET": str(self._hooks.socket),
            "SLIPWAY_PUSH": session.token,
            "REMOTE_USER": person.id if person else "",
            "GIT_COMMITTER_NAME": name.strip() or "unknown",
            "GIT_COMMITTER_EMAIL": f"{person.id if person else ''}@slipway",
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens on the socket."""
        self._hooks.write()
        try:
            async with listening(self._answer, path=self._hooks.socket):
                os.chmod(self._hooks.socket, 0o600)  # noqa: PTH101 -- no await between: nobody else can come first into a private folder
                yield
        finally:
            self._hooks.remove()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HANDOVER_S):
                token = (await reader.readline()).decode("ascii", "replace").strip()
                updates = await _updates(reader)
            session = self._sessions.get(token)
            if session is not None:
                async for line in self._tell(session, updates):
                    writer.write(line.encode("utf-8", "replace") + b"\n")
                    await writer.drain()
        except (ConnectionError, TimeoutError, ValueError) as error:
            log.info("hook left", reason=str(error) or type(error).__name__)
        except Exception:
            log.exception("push not told")  # the edge of the process: the sweep takes what was not recorded

    async def _tell(self, session: PushSession, updates: Sequence[Update]) -> AsyncIterator[str]:
        stored = await self._recorded(session, updates)
        if stored is None:
            yield ""
            yield "Slipway cannot record this push just now. It is kept, and will be found and deployed within a minute."
            yield "A newer push of its branch, made before that, takes its place."
            return
        recorded, changes = stored
        yield ""
        for line in _greeting(session, recorded):
            yield line
        wanted = {change.id: short(change.ref) for change in changes if follows(session.visitor.project.refs, change.ref)}
        if not wanted:
            return
        repository = session.repository
        async for line in self._pipeline.tell(repository.organization, repository.project, wanted, session.gone):
            yield line
        yield ""

    async def _recorded(self, session: PushSession, updates: Sequence[Update]) -> tuple[Recorded, list[Change]] | None:
        pushes = [await self._push(session, update) for update in updates]
        repository = session.repository
        origin = own_origin(repository, self._clone_url)
        with span("take git push", kind=SpanKind.SERVER) as taking:
            taking.set_attribute("slipway.repository", repository.identity)
            try:
                parts = [pushes[start : start + AT_ONCE] for start in range(0, len(pushes), AT_ONCE)]
                arrivals = [Arrival(origin, FoundBy.PUSH, tuple(part), trace=traceparent()) for part in parts]
                recorded = together([one for arrival in arrivals for one in await self._store.record([arrival])])
            except UNAVAILABLE as error:
                log.warning("push not recorded", repository=repository.identity, reason=str(error))
                return None
            log.info("push taken", repository=repository.identity, changes=[change.id for change in recorded.changes])
        earlier = [known.change for known in recorded.known if known.change]
        return recorded, [*recorded.changes, *await self._store.changes(earlier)]

    async def _push(self, session: PushSession, update: Update) -> Push:
        person = session.visitor.person
        return await own_push(
            self._repositories,
            session.repository,
            ref=update.ref,
            before=update.old,
            name=update.new,
            pusher=Pusher(forge="slipway", login=person.name if person else None, person=person.id if person else None),
        )


def own_origin(repository: Repository, clone_url: str) -> Origin:
    """The origin of what is pushed to Slipway's own remote."""
    url = f"{clone_url}/{repository.organization}/{repository.project}.git"
    return Origin(repository.organization, repository.project, OWN_CONNECTION, "slipway", repository.identity, url)


async def own_push(
    repositories: Repositories, repository: Repository, *, ref: str, before: str | None, name: str | None, pusher: Pusher
) -> Push:
    """A push to the own remote, with what the commit of the object `name` says of itself. Without a commit where it leads to none."""
    commit, summary = None, Summary("", "")
    if name is not None:
        found = await repositories.commit_and_summary(repository, name)
        # A commit that git cannot show is for the builder to complain about.
        commit, summary = found or (await repositories.commit_of(repository, name), summary)
    return Push(
        repository=repository.identity,
        clone_url="",
        ref=ref,
        before=before,
        commit=commit,
        pusher=pusher,
        title=summary.title,
        author=summary.author,
    )


async def _updates(reader: asyncio.StreamReader) -> list[Update]:
    """Lines up to an empty one."""
    updates: list[Update] = []
    while line := (await reader.readline()).rstrip(b"\n"):
        old, new, ref = line.split(b" ", 2)
        updates.append(Update(_object(old), _object(new), ref.decode(errors="surrogateescape")))
    return updates


def _object(name: bytes) -> str | None:
    text = name.decode("ascii")
    return None if is_zeros(text) else text


def _greeting(session: PushSession, recorded: Recorded) -> Iterator[str]:
    for change in recorded.changes:
        yield f"Slipway took {printable(short(change.ref))} at {change.commit[:8]}."
        if not follows(session.visitor.project.refs, change.ref):
            yield from _nobody_follows(session, change.ref)
    for known in recorded.known:
        if known.change is None:
            yield f"{printable(short(known.ref))}: {known.reason}."


def _nobody_follows(session: PushSession, ref: str) -> Iterator[str]:
    followed = ", ".join(sorted({short(name) for name in session.visitor.project.refs}))
    yield f"No environment follows {printable(short(ref))}, so nothing is deployed."
    yield f"Followed are: {followed}." if followed else "No environment of this project follows any branch yet: slipway environment create."
