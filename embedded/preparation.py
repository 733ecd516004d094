"""What must be true before the services start: streams and users, schemas and migrations, the data plane, a first token.

Done in a child process of its own, so that no event loop and no thread of it is in the supervisor when that forks.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from nats.aio.client import Client

from embedded import database
from embedded.data_plane import DataPlane
from embedded.home import Home, write_private
from embedded.nats import why_not_ready
from embedded.progress import Teller
from embedded.reach import Server, until_it_answers
from embedded.servers import Bus, Database
from embedded.services import Service
from shared.bus import open_client
from shared.postgres import SHARED_MIGRATIONS, migrate
from shared.topology import declare

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Preparation:
    """Everything that one start prepares. All of it is safe to repeat."""

    home: Home
    target: str
    organization: str
    services: Sequence[Service]
    bus: Bus
    database: Database
    data_plane: DataPlane | None
    bootstrap: str | None
    """The module whose `bootstrap(dsn, organization)` makes the first administrator's token, once."""

    async def run(self, teller: Teller) -> None:
        """Streams, schemas and containers at the same time; then the first organization, administrator and token."""

        def say(part: str, detail: str) -> None:
            teller.say(part, "done", detail)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._declare(say))
            tasks.create_task(self._migrate(say))
            if self.data_plane is not None:
                tasks.create_task(self.data_plane.ensure(say))
        if self.bootstrap is not None:
            say("token", await self._bootstrap(self.bootstrap))

    async def _declare(self, say: Say) -> None:
        user, password = self.bus.administrator, self.bus.passwords[self.bus.administrator]
        server = Server("NATS", self.bus.url, None if self.bus.child else "SLIPWAY_NATS_URL")
        await until_it_answers(server, lambda: why_not_ready(self.bus.url, user, password))
        client = Client()
        await open_client(client, self.bus.url, user=user or None, password=password or None)
        try:
            await declare(client.jetstream(), self.target)
        finally:
            await client.close()
        say("nats", "streams declared")

    async def _migrate(self, say: Say) -> None:
        wanted = self.database
        reachable = wanted.maintenance_dsn or wanted.administrator_dsn
        server = Server("PostgreSQL", reachable, None if wanted.child else "SLIPWAY_POSTGRES_DSN")
        await until_it_answers(server, lambda: database.why_not_accepted(reachable))
        if wanted.maintenance_dsn is not None:
            await database.make_database(wanted.maintenance_dsn)
        await database.make_roles(wanted.administrator_dsn, wanted.passwords)
        stateful = [service for service in self.services if service.stateful]
        applied = await asyncio.gather(*(migrate(wanted.dsns[service.name], service.name, _migrations(service)) for service in stateful))
        number = sum(len(names) for names in applied)
        say("postgres", f"{number} migrations applied" if number else "migrations are up to date")

    async def _bootstrap(self, module: str) -> str:
        """The first token is shown once, so it is kept where only this user reads it; when it was lost there is another."""
        if self.home.token.exists():
            return str(self.home.token)
        auth, dsn = import_module(module), self.database.dsns["auth"]
        token: str | None = await auth.bootstrap(dsn, self.organization) or await auth.renew(dsn, self.organization)
        if token is None:
            return f"none: organization {self.organization} has no admin any more"
        write_private(self.home.token, f"{token}\n")
        return f"new in {self.home.token}"


def _migrations(service: Service) -> tuple[Path, ...]:
    """Those of shared/ (inbox, outbox) and the service's own."""
    package = import_module(service.module.rpartition(".")[0])
    own = Path(package.__path__[0]) / "migrations"
    return (SHARED_MIGRATIONS, own) if own.exists() else (SHARED_MIGRATIONS,)
