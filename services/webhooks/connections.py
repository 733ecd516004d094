"""The mirror of the catalogue's connections: intake goes on while api is away. Secrets lie encrypted in the database."""

import asyncio
import json
import re
import time
from collections.abc import Iterable
from dataclasses import asdict

import asyncpg
import structlog
from nats.aio.msg import Msg

from services.webhooks.catalogue import Away, Catalogue, Connection
from shared.bus import Bus
from shared.contracts.events import CatalogueChanged, Event
from shared.postgres import UNAVAILABLE, Pool
from shared.sealing import Vault

log = structlog.get_logger()

_CHANGES = "slipway.evt.*.*.*.catalogue.changed"
REFRESH_S = 300.0
"""How often all are read again: a lost event may make the mirror that old."""
_NAME = re.compile(r"[a-z0-9-]{1,40}")
"""What can be a name (`shared.messages.Slug`): nobody is asked of anything else, a NUL for instance, which no database takes."""
QUESTIONS = 10
QUESTIONS_PER_S = 1.0
"""A stranger's guesses at names, and bad signatures, reach api no more often than this (so many at once, then so many a second)."""

_ALL = "SELECT name, organization, project, forge, repository, clone_url, api_url, version, sealed FROM connections"
_PUT = """
INSERT INTO connections (name, organization, project, forge, repository, clone_url, api_url, version, sealed)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bytea[])
ON CONFLICT (name) DO UPDATE SET organization = EXCLUDED.organization, project = EXCLUDED.project, forge = EXCLUDED.forge,
    repository = EXCLUDED.repository, clone_url = EXCLUDED.clone_url, api_url = EXCLUDED.api_url,
    version = EXCLUDED.version, sealed = EXCLUDED.sealed,
    sweep_next_at = CASE WHEN connections.version = EXCLUDED.version THEN connections.sweep_next_at ELSE now() END,
    requests_next_at = CASE WHEN connections.version = EXCLUDED.version THEN connections.requests_next_at ELSE now() END
"""
"""One that was changed, its token for instance, is looked at at once."""
_NAMES = "SELECT name FROM connections"
_DROP = "DELETE FROM connections WHERE name = ANY($1::text[])"
_DROP_ONE = "DELETE FROM connections WHERE name = $1"


_HIDDEN = ("secrets", "token", "has_app", "deploy_key", "known_hosts")
"""What stands sealed in the database: of an older version the first ones."""


class Connections:
    """Connections by name."""

    def __init__(self, pool: Pool, vault: Vault, catalogue: Catalogue) -> None:
        self._pool = pool
        self._vault = vault
        self._catalogue = catalogue
        self._known: dict[str, Connection] = {}
        self._questions = float(QUESTIONS)
        self._asked_at = time.monotonic()
        self._changed = asyncio.Event()
        self._complete = False
        self._asking: dict[str, asyncio.Task[Connection | None]] = {}

    async def load(self) -> None:
        """Reads what this service stored: enough to work without api."""
        self._known = {row["name"]: self._open(row) for row in await self._pool.fetch(_ALL)}

    async def refresh(self) -> None:
        """Takes over all that api has; raises `Away`. What was found meanwhile, by any replica, stays."""
        before = {row["name"] for row in await self._pool.fetch(_NAMES)} | set(self._known)
        found = {one.name: one for one in await self._catalogue.connections()}
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_DROP, sorted(before - set(found)))
            await connection.execute(_PUT, *self._columns(found.values()))
        self._known = {name: one for name, one in self._known.items() if name not in before} | found
        self._complete = True

    async def listen(self, bus: Bus) -> None:
        """Hears of changes of the catalogue from now on, in each replica: `run` asks again at once."""
        await bus.nc.subscribe(_CHANGES, cb=self._hear)
        bus.on_reconnect(self._look_again)

    async def _hear(self, message: Msg) -> None:
        try:
            fact = Event.decode(message.data).fact()
        except ValueError:
            return  # of a newer version: what it says is found with all others after a while
        if isinstance(fact, CatalogueChanged) and fact.kind in ("connection", "organization", "project"):
            self._changed.set()

    async def _look_again(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Keeps the mirror current for ever: at start, when told so, and every few minutes."""
        pause = 0.5
        while True:
            self._changed.clear()
            try:
                await self.refresh()
                pause = 0.5
                wait_s = REFRESH_S
            except (Away, *UNAVAILABLE) as error:
                log.warning("connections are as they were", reason=str(error) or type(error).__name__, known=len(self._known))
                wait_s, pause = pause, min(pause * 2, 30.0)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def find(self, name: str) -> Connection | None:
        """The connection of that name. One that is not known is asked of api; raises `Away` where nobody can say."""
        found = self._known.get(name)
        if found is not None or not _NAME.fullmatch(name):
            return found
        return await asyncio.shield(self._ask_together(name))

    async def ask(self, name: str) -> Connection | None:
        """What api says now of a name, or what is known where it is away or was asked too often."""
        try:
            return await asyncio.shield(self._ask_together(name))
        except Away:
            return self._known.get(name)

    def _ask_together(self, name: str) -> "asyncio.Task[Connection | None]":
        """One question for all who ask the same at the same time."""
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._ask(name))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        return asking

    async def _ask(self, name: str) -> Connection | None:
        if not self._may_ask():
            if self._complete:
                return self._known.get(name)
            raise Away("too many questions at once")
        found = [one for one in await self._catalogue.connections(name=name) if one.name == name]
        if not found:
            await self._pool.execute(_DROP_ONE, name)
            self._known.pop(name, None)
            return None
        await self._pool.execute(_PUT, *self._columns(found))
        self._known[name] = found[0]
        return found[0]

    def _may_ask(self) -> bool:
        now = time.monotonic()
        self._questions = min(float(QUESTIONS), self._questions + (now - self._asked_at) * QUESTIONS_PER_S)
        self._asked_at = now
        if self._questions < 1:
            return False
        self._questions -= 1
        return True

    def _columns(self, found: Iterable[Connection]) -> list[list[object]]:
        rows = [asdict(one) for one in found]
        names = ("name", "organization", "project", "forge", "repository", "clone_url", "api_url", "version")
        return [*([row[name] for row in rows] for name in names), [self._seal(row) for row in rows]]

    def _seal(self, row: dict[str, object]) -> bytes:
        hidden = json.dumps({name: row[name] for name in _HIDDEN}).encode()
        return self._vault.encrypt(hidden, f"connection/{row['name']}")

    def _open(self, row: asyncpg.Record) -> Connection:
        hidden = json.loads(self._vault.decrypt(row["sealed"], f"connection/{row['name']}"))
        shown = {name: row[name] for name in row.keys() if name != "sealed"}  # noqa: SIM118 -- a Record iterates over its values
        return Connection(**shown | hidden | {"secrets": tuple(hidden["secrets"])})
