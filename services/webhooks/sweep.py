"""The sweep: heads are compared with the last change known, and a difference becomes the change whose push was missed."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from services.webhooks.catalogue import Away, Catalogue, Connection, NotLetIn, Project, origin_of
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival, Origin, Push
from services.webhooks.git.pushes import own_origin, own_push
from services.webhooks.git.repositories import GitError, Reference, Repositories, Repository, SshTo
from services.webhooks.pushers import Pushers
from services.webhooks.refs import LONGEST_REF, follows, is_commit, is_ref
from services.webhooks.store import Store
from services.webhooks.texts import clean
from services.webhooks.turns import Paused, Setbacks, Turns, by_turns
from shared import ssh
from shared.contracts.changes import Change, FoundBy, Pusher
from shared.forges import CLONE_USERS, credential_config
from shared.outbound import Reach, Refused, Unresolved
from shared.outbound_gate import outbound_gate
from shared.postgres import UNAVAILABLE
from shared.proto.catalogue_pb2 import CLONE
from shared.rate_limits import pause

log = structlog.get_logger()

LS_REMOTE_S = 45.0
_MOST_TOLD = 8 * 2**20
"""Bytes that are read of what git says: more than a hundred thousand refs, of those that are followed."""
_MOST_ASKED = 10
"""Refs of one look whose pushers a forge is asked for: a repository that is new here may have hundreds."""
_MOST_FOUND = 500
"""Refs of one look that are taken: the next one takes more."""

_DUE = """
UPDATE connections SET sweep_next_at = now() + make_interval(secs => $1)
WHERE name = (SELECT name FROM connections WHERE sweep_next_at <= now() AND forge <> 'slipway' AND clone_url <> '' AND repository <> ''
              ORDER BY sweep_next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""
_LATER = "UPDATE connections SET sweep_next_at = now() + $2 WHERE name = $1"
_HEADER = re.compile(r"<= recv header: ([a-z-]+): *([^\r\n]*)", re.IGNORECASE)

_POINTED = "^{}"
"""Behind a tag's name: what it points to (gitrevisions(7))."""

_Known = Mapping[str, tuple[str, int]]


class OwnSweep:
    """Sweeps the bare repositories here: a crash between a ref's update and its event loses no push."""

    def __init__(self, store: Store, repositories: Repositories, clone_url: str, every_s: float) -> None:
        self._store = store
        self._repositories = repositories
        self._clone_url = clone_url.rstrip("/")
        self._every_s = every_s

    async def run(self) -> None:
        """At once, then every so many seconds."""
        while True:
            try:
                await self.sweep()
            except UNAVAILABLE as error:
                log.warning("sweep postponed", reason=str(error) or type(error).__name__)
            await asyncio.sleep(self._every_s)

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
        missed = _missed(await self._repositories.references(repository), known)[:_MOST_FOUND]
        return await _record(self._store, origin, known, [await self._push(repository, reference, known) for reference in missed])

    async def _push(self, repository: Repository, reference: Reference, known: _Known) -> Push:
        person = await self._repositories.pushed_by(repository, reference.name)
        pusher = Pusher(forge="slipway", person=person[0], login=person[1]) if person else Pusher(forge="slipway")
        before = known.get(reference.name, (None, 0))[0]
        return await own_push(self._repositories, repository, ref=reference.name, before=before, name=reference.commit, pusher=pusher)


class ForgeSweep:
    """Sweeps the repositories of connections with `git ls-remote`, spread over time; replicas share the work."""

    def __init__(
        self,
        store: Store,
        connections: Connections,
        catalogue: Catalogue,
        repositories: Repositories,
        reach: Reach,
        pushers: Pushers,
        every_s: float,
        grace_s: float,
    ) -> None:
        self._store = store
        self._reach = reach
        self._connections = connections
        self._catalogue = catalogue
        self._repositories = repositories
        self._pushers = pushers
        self._turns = Turns(_DUE, _LATER, every_s)
        self._grace_s = grace_s
        self._heard: dict[str, int] = {}
        """Hashes of what the last look of a connection went by."""
        self._setbacks = Setbacks(every_s)

    async def run(self) -> None:
        """For ever."""
        await by_turns(self._store, self._connections, self._turns, self._setbacks, self.sweep)

    async def sweep(self, connection: Connection) -> list[Change]:
        """Compares one connection's heads; answers the changes found. Who pushed is asked of the forge; where it does not say, auth
        decides what that may lead to.

        Raises `Paused` where the forge wants a pause or gives no heads: each time for longer, until it does.
        Where a project follows no ref its forge is not asked.
        """
        try:
            project = await self._catalogue.project(connection.organization, connection.project)
        except Away as error:
            log.warning("connection not swept", connection=connection.name, reason=str(error))
            return []
        if project is None or not project.refs:
            return []
        with TemporaryDirectory(prefix="slipway-sweep-") as folder:
            answers = Path(folder) / "answers"
            try:
                let_in = await self._catalogue.let_in(connection, CLONE)
                changes = await self._compare(let_in, project, Path(folder), answers)
            except (GitError, TimeoutError, NotLetIn, Away) as error:
                longer = self._setbacks.another(connection.name)
                raise Paused(max(longer, _asked(answers) or longer), str(error) or "no answer in time") from error
            self._setbacks.over(connection.name)
            if (wait := _asked(answers)) is not None:
                raise Paused(wait, "the forge's rate limit is used up")
        return changes

    async def _compare(self, connection: Connection, project: Project, folder: Path, answers: Path) -> list[Change]:
        origin = origin_of(connection)
        known: _Known = await self._store.known_heads(origin.connection, origin.repository)
        told = await self._ls_remote(connection, project.refs, folder, answers)
        references = await asyncio.to_thread(_references, told, project.refs)
        heard = hash((tuple(references), project, frozenset(known.items())))
        if self._heard.get(connection.name) == heard:
            return []
        missed, known = await self._still_missed(origin, _missed(references, known)[:_MOST_FOUND], known)
        if missed and await self._store.waits(connection.name):
            return []
        pushes = [
            Push(
                origin.repository,
                connection.clone_url,
                found.name,
                known.get(found.name, (None, 0))[0],
                found.commit,
                await self._pushers.of(connection, origin.forge, found.name, found.commit)
                if place < _MOST_ASKED
                else Pusher(forge=origin.forge),
            )
            for place, found in enumerate(missed)
        ]
        changes = await _record(self._store, origin, known, pushes)
        self._heard[connection.name] = heard
        return changes

    async def _still_missed(self, origin: Origin, missed: Sequence[Reference], known: _Known) -> tuple[Sequence[Reference], _Known]:
        """What no webhook has told within the time of grace: one may be on its way, and it says whose push that was."""
        if not missed:
            return missed, known
        await asyncio.sleep(self._grace_s)
        since = await self._store.known_heads(origin.connection, origin.repository)
        return [found for found in missed if since.get(found.name) == known.get(found.name)], since

    async def _ls_remote(self, connection: Connection, followed: Sequence[str], folder: Path, answers: Path) -> str:
        """What git says of branches and tags that are followed, and of some more.

        The token is for this address only: a redirect elsewhere does not get it.
        """
        # To git, too, `*` matches slashes; but it takes the end of a name for the whole, and the commit of a tag for a name of its own.
        patterns = [pattern for ref in followed for pattern in (ref, f"{ref}{_POINTED}")]
        arguments = ("ls-remote", "--quiet", "--heads", "--tags", "--", connection.clone_url, *patterns)
        if connection.clone_url.startswith("ssh://"):
            async with asyncio.timeout(LS_REMOTE_S):
                return await self._repositories.git_over_ssh(await self._ssh_to(connection), folder, *arguments, most=_MOST_TOLD)
        user, token = CLONE_USERS.get(connection.forge), connection.token
        secret = credential_config(connection.clone_url, user, token) if token else ""
        async with asyncio.timeout(LS_REMOTE_S), outbound_gate(self._reach) as gate:
            settings = {"http.proxy": gate.proxy}
            try:
                return await self._repositories.git_with(settings, folder, *arguments, secret=secret, answers=answers, most=_MOST_TOLD)
            except GitError as error:
                raise GitError("; ".join((*gate.refused, *gate.failed)) or str(error)) from error

    async def _ssh_to(self, connection: Connection) -> SshTo:
        if not connection.deploy_key:
            raise GitError(f"it is cloned over SSH, without a deploy key: slipway connections key {connection.name}")
        host, port = ssh.host_and_port(connection.clone_url)
        try:
            address = (await self._reach.addresses_of(host, port))[0]
        except (Refused, Unresolved) as error:
            raise GitError(str(error)) from error
        return SshTo(address, ssh.known_as(host, port), connection.known_hosts, connection.deploy_key)


def _asked(answers: Path) -> timedelta | None:
    """The pause that the server asked for, by the headers of its answers."""
    if not answers.exists():
        return None
    headers = {name.lower(): value for name, value in _HEADER.findall(answers.read_text(errors="replace"))}
    return pause(headers, datetime.now(UTC))


def _references(told: str, followed: Sequence[str]) -> list[Reference]:
    """Those that are followed. Of an annotated tag, the commit that it points to: its line ends with `^{}`."""
    found: dict[str, str] = {}
    for line in told.split("\n"):
        commit, _, name = line.partition("\t")
        name = name.removesuffix(_POINTED)
        if is_commit(commit) and len(name) <= LONGEST_REF and follows(followed, name):
            found[name] = commit
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
