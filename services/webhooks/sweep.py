"""The sweep: heads are compared with the last change known, and a difference becomes the change whose push was missed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import uniform
from tempfile import TemporaryDirectory

import structlog

from services.webhooks.catalogue import Away, Catalogue, Connection, Project
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival, Origin, Push, clean, follows, is_commit, is_ref
from services.webhooks.git.pushes import own_origin, own_push
from services.webhooks.git.repositories import GitError, Reference, Repositories, Repository
from services.webhooks.intake import origin_of
from services.webhooks.store import Store
from shared.contracts.changes import Change, FoundBy, Pusher
from shared.forges import CLONE_USERS, credential_config
from shared.outbound import Reach
from shared.outbound_gate import outbound_gate
from shared.postgres import UNAVAILABLE

log = structlog.get_logger()

OWN_EVERY_S = 60.0
FORGES_EVERY_S = 300.0
"""How long between two looks at one connection."""
LS_REMOTE_S = 45.0

_DUE = """
UPDATE connections SET sweep_next_at = now() + make_interval(secs => $1)
WHERE name = (SELECT name FROM connections WHERE sweep_next_at <= now() AND forge <> 'slipway' AND clone_url <> '' AND repository <> ''
              ORDER BY sweep_next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""

_Known = Mapping[str, tuple[str, int]]


class OwnSweep:
    """Sweeps the bare repositories here: a crash between a ref's update and its event loses no push."""

    def __init__(self, store: Store, repositories: Repositories, clone_url: str) -> None:
        self._store = store
        self._repositories = repositories
        self._clone_url = clone_url.rstrip("/")

    async def run(self) -> None:
        """At once, then every minute."""
        while True:
            try:
                await self.sweep()
            except UNAVAILABLE as error:
                log.warning("sweep postponed", reason=str(error) or type(error).__name__)
            await asyncio.sleep(OWN_EVERY_S)

    async def sweep(self) -> list[Change]:
        """Looks at every repository; answers the changes found. A repository that git cannot read keeps no other from being swept."""
        found: list[Change] = []
        for repository in self._repositories.all():
            try:
                found += await self._sweep_one(repository)
            except GitError as error:
                log.error("repository not swept", repository=repository.identity, reason=str(error))
        return found

    async def _sweep_one(self, repository: Repository) -> list[Change]:
        origin = own_origin(repository, self._clone_url)
        # The heads that are known are read first: a push that comes in between moves the arrival number, and the sweep gives way.
        known = await self._store.known_heads(origin.connection, origin.repository)
        missed = _missed(await self._repositories.references(repository), known)
        return await _record(self._store, origin, known, [await self._push(repository, reference, known) for reference in missed])

    async def _push(self, repository: Repository, reference: Reference, known: _Known) -> Push:
        person = await self._repositories.pushed_by(repository, reference.name)
        pusher = Pusher(forge="slipway", person=person[0], login=person[1]) if person else Pusher(forge="slipway")
        before = known.get(reference.name, (None, 0))[0]
        return await own_push(self._repositories, repository, ref=reference.name, before=before, name=reference.commit, pusher=pusher)


async def by_turns(
    store: Store, connections: Connections, due: str, every_s: float, sweep: Callable[[Connection], Awaitable[list[Change]]]
) -> None:
    """Looks at connections one after the other, spread over time, for ever; sleeps while none is due. Replicas share the work.

    `due` takes the next one and puts it off by so many seconds, in one statement.
    """
    while True:
        try:
            name = await store.pool.fetchval(due, every_s * uniform(0.8, 1.2))  # noqa: S311 -- spread, not secrecy
            connection = await connections.find(name) if name else None
            if connection is not None:
                await sweep(connection)
                continue
        except UNAVAILABLE as error:
            log.warning("sweep postponed", reason=str(error) or type(error).__name__)
        await asyncio.sleep(5)


class ForgeSweep:
    """Sweeps the repositories of connections with `git ls-remote`, one after the other, spread over time; replicas share the work."""

    def __init__(self, store: Store, connections: Connections, catalogue: Catalogue, repositories: Repositories, reach: Reach) -> None:
        self._store = store
        self._reach = reach
        self._connections = connections
        self._catalogue = catalogue
        self._repositories = repositories
        self._heard: dict[str, tuple[Sequence[Reference], Project]] = {}

    async def run(self) -> None:
        """For ever."""
        await by_turns(self._store, self._connections, _DUE, FORGES_EVERY_S, self.sweep)

    async def sweep(self, connection: Connection) -> list[Change]:
        """Compares one connection's heads; answers the changes found. Its pusher is unknown: auth decides what that may lead to."""
        origin = origin_of(connection)
        known = await self._store.known_heads(origin.connection, origin.repository)
        try:
            references = await self._ls_remote(connection)
            project = await self._catalogue.project(connection.organization, connection.project)
        except (Away, GitError, TimeoutError) as error:
            log.warning("connection not swept", connection=connection.name, reason=str(error) or "no answer in time")
            return []
        if project is None:
            return []
        heard = (references, project)
        if self._heard.get(connection.name) == heard:
            return []
        missed = [found for found in _missed(references, known) if follows(project.refs, found.name)]
        pusher = Pusher(forge=origin.forge)
        pushes = [
            Push(origin.repository, connection.clone_url, found.name, known.get(found.name, (None, 0))[0], found.commit, pusher)
            for found in missed
        ]
        changes = await _record(self._store, origin, known, pushes)
        self._heard[connection.name] = heard
        return changes

    async def _ls_remote(self, connection: Connection) -> list[Reference]:
        """Branches and tags. The token is for this address only: a redirect elsewhere does not get it."""
        arguments = ("ls-remote", "--quiet", "--heads", "--tags", "--", connection.clone_url)
        user, token = CLONE_USERS.get(connection.forge), connection.token
        secret = credential_config(connection.clone_url, user, token) if token else ""
        with TemporaryDirectory(prefix="slipway-sweep-") as folder:
            async with asyncio.timeout(LS_REMOTE_S), outbound_gate(self._reach) as gate:
                settings = {"http.proxy": gate.proxy}
                try:
                    return _references(await self._repositories.git_with(settings, Path(folder), *arguments, secret=secret))
                except GitError as error:
                    raise GitError("; ".join((*gate.refused, *gate.failed)) or str(error)) from error


def _references(told: str) -> list[Reference]:
    """Of an annotated tag, the commit that it points to: its line ends with `^{}`."""
    found: dict[str, str] = {}
    for line in told.splitlines():
        commit, _, name = line.partition("\t")
        if is_commit(commit):
            found[name.removesuffix("^{}")] = commit
    return [Reference(name, commit) for name, commit in sorted(found.items())]


def _missed(references: Sequence[Reference], known: _Known) -> list[Reference]:
    """Refs that stand elsewhere than the last change known says."""
    named = [Reference(clean(reference.name), reference.commit) for reference in references]
    return [found for found in named if is_ref(found.name) and known.get(found.name, ("", 0))[0] != found.commit]


async def _record(store: Store, origin: Origin, known: _Known, pushes: Sequence[Push]) -> list[Change]:
    arrivals = [Arrival(origin, FoundBy.SWEEP, (push,), expected=known[push.ref][1] if push.ref in known else None) for push in pushes]
    if not arrivals:
        return []
    changes = [change for recorded in await store.record(arrivals) for change in recorded.changes]
    for change in changes:
        log.info("missed push found", repository=change.repository, commit=change.commit, arrival=change.arrival)
    return changes
