"""api as it runs: its own constructor, real PostgreSQL and NATS, and the real auth service beside it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import httpx
from pydantic import SecretStr

from embedded import authority
from embedded.home import Home
from services.api.app import Opened, open_api
from services.api.settings import Settings
from services.auth import bootstrap
from services.auth.credentials import Gate
from services.auth.servicer import Servicer
from shared.authorities import nobody
from shared.bus import Bus
from shared.contracts.events import Event
from shared.postgres import database
from shared.process import Process
from shared.rpc import server
from tests.polling import eventually
from tests.stack import migrated, service_settings, teller_of

CLONE_URL = "http://127.0.0.1:9/git"


@dataclass
class RunningApi:
    """A living api, the first admin's token, and a client that presents it."""

    opened: Opened
    settings: Settings
    home: Home
    token: str
    client: httpx.AsyncClient

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.opened.http_port}"

    async def made(self, path: str, **fields: object) -> httpx.Response:
        """POSTs to the API and expects that it was taken."""
        response = await self.client.post(path, json=fields)
        assert response.status_code in (200, 201, 202), response.text
        return response

    async def with_todo(self) -> None:
        """The project main/todo with its environment production."""
        await self.made("/projects/main", slug="todo", name="To do")
        await self.made("/environments/main/todo", slug="production")

    async def person(self, role: str, resource: str) -> str:
        """The token of somebody new with that role."""
        person = (await self.made("/people", name=f"{role} of {resource}")).json()["id"]
        granted = await self.client.put(f"/people/{person}/roles", json={"role": role, "resource": resource})
        assert granted.status_code == 200, granted.text
        token: str = (await self.made("/tokens", name="test", person=person)).json()["plain"]
        return token

    async def audited(self, words: str) -> None:
        """Waits until the audit log says so: auth, which keeps it, is told after the change."""

        async def said() -> bool:
            return words in (await self.client.get("/audit/main")).text

        await eventually(said)


@asynccontextmanager
async def running_api(folder: Path, nats_url: str, dsn: str) -> AsyncIterator[RunningApi]:
    """Starts auth and api on free ports; everything is closed at the end."""
    home = Home.at(folder / "home")
    home.prepare()
    authority.prepare(home, ("auth", "api", "coordinator", "webhooks"))
    await migrated(dsn, "api")
    token = await bootstrap.bootstrap(dsn, "main")
    assert token is not None
    async with AsyncExitStack() as stack:
        auth_pool = await stack.enter_async_context(database(dsn, "auth"))
        servicer = Servicer(auth_pool, Gate(auth_pool))
        auth_port = await stack.enter_async_context(server("127.0.0.1:0", home.tls, "auth", servicer.register))
        settings = service_settings(
            Settings,
            "api",
            nats_url,
            postgres_dsn=SecretStr(dsn),
            home=home.path,
            tls_dir=home.tls,
            auth_address=f"127.0.0.1:{auth_port}",
            clone_url=CLONE_URL,
            master_key_file=home.keys / "master.key",
            target_public_key_file=home.keys / "target.pub",
            clone_key_file=home.keys / "clone.key",
            private_forges=("127.0.0.1",),
        )
        bus = await Bus.connect(settings, "api")
        stack.push_async_callback(bus.close)
        process = Process("api", settings, bus, stack)
        opened = await open_api(process, settings)
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                verify=nobody(),
                base_url=f"http://127.0.0.1:{opened.http_port}/api/v1",
                headers={"Authorization": f"Bearer {token}"},
                timeout=20,
            )
        )
        yield RunningApi(opened, settings, home, token, client)
        process.stop()
        await process.until_stopped()


@asynccontextmanager
async def service_bus(nats_url: str, user: str) -> AsyncIterator[Bus]:
    """A connection as another service."""
    bus = await Bus.connect(service_settings(Settings, user, nats_url, postgres_dsn=SecretStr("unused")), user)
    try:
        yield bus
    finally:
        await bus.close()


async def published(nats_url: str, *events: Event) -> None:
    """Publishes events as the services would whose they are."""
    for teller, told in groupby(events, lambda event: teller_of(event.name)):
        async with service_bus(nats_url, teller) as bus:
            for event in told:
                await bus.publish(event.subject, event)


async def fetched(nats_url: str, durable: str, stream: str) -> bytes:
    """The next message of a durable of the coordinator's, taken from the queue."""
    async with service_bus(nats_url, "coordinator") as bus:
        subscription = await bus.js.pull_subscribe_bind(durable, stream)
        (message,) = await subscription.fetch(1, timeout=60)
        await message.ack()
        return message.data
