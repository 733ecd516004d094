"""notifier as it runs, on real servers; api is a catalogue behind mutual TLS."""

import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
from pydantic import SecretStr

from embedded import authority
from embedded.home import Home
from services.notifier.app import assemble
from services.notifier.settings import Settings
from shared.bus import Bus
from shared.contracts.events import CatalogueChanged, DeploymentCreated, Event, NotificationAttempted
from shared.contracts.facts import Fact
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import ReleaseKind
from shared.messages import new_id
from shared.process import started
from shared.proto import catalogue_pb2 as pb
from shared.settings import ServiceSettings
from tests.integration.notifier.catalogue import Catalogue, catalogue_server
from tests.polling import eventually
from tests.stack import service_settings, teller_of

COMMIT = "c0ffee" + "0" * 34


@dataclass
class World:
    """What a test has: the catalogue, the bus as the coordinator and as api, the database, and ways to start notifier."""

    catalogue: Catalogue
    coordinator: Bus
    api: Bus
    database: "asyncpg.Connection[asyncpg.Record]"
    start: Callable[..., AbstractAsyncContextManager[None]]

    async def happens(
        self, fact: Fact, *, deployment: str | None = None, sequence: int | None = None, environment: str = "production"
    ) -> Event:
        """An event on the stream."""
        event = Event.of(fact, "main", "todo", environment, deployment=deployment, sequence=sequence)
        teller = self.api if teller_of(event.name) == "api" else self.coordinator
        await teller.publish(event.subject, event)
        return event

    async def deployment(self, commit: str = COMMIT) -> str:
        """A new deployment's first event."""
        deployment = new_id()
        fact = DeploymentCreated(
            kind=ReleaseKind.DEPLOY,
            environment_kind=EnvironmentKind.PRODUCTION,
            target="local",
            repository="github.com/acme/todo",
            ref="refs/heads/main",
            commit=commit,
            title="Mend the list",
            pusher="ada",
        )
        await self.happens(fact, deployment=deployment, sequence=1)
        return deployment

    async def channels(self, *channels: pb.Channel) -> None:
        """The catalogue's channels from now on, known to notifier."""
        self.catalogue.channels = list(channels)
        await self.happens(CatalogueChanged(kind="channel", name="c", action="created"))
        wanted = {(channel.name, channel.version) for channel in channels}

        async def known() -> bool:
            rows = await self.database.fetch("SELECT name, version FROM channels")
            return {(row["name"], row["version"]) for row in rows} == wanted

        await eventually(known)

    async def states(self) -> list[str]:
        """What became of each notification."""
        rows = await self.database.fetch("SELECT state FROM notifications")
        return [row["state"] for row in rows]

    async def becomes(self, *states: str) -> None:
        """Waits until that is what became of the notifications."""

        async def so() -> bool:
            assert sorted(await self.states()) == sorted(states)
            return True

        await eventually(so, within=20)

    async def attempted(self) -> list[NotificationAttempted]:
        """The events that tell of attempts, so far."""
        admin = await self.coordinator.js.stream_info("EVENTS")
        assert admin.state.messages
        rows = await self.database.fetch("SELECT body FROM outbox WHERE sent_at IS NOT NULL AND subject LIKE 'slipway.%' ORDER BY position")
        return [NotificationAttempted.model_validate(Event.decode(row["body"]).data) for row in rows]


def webhook(url: str, secret: str, *events: str, name: str = "hook", version: int = 1, **more: str) -> pb.Channel:
    """A webhook channel."""
    return pb.Channel(organization="main", name=name, kind="webhook", url=url, secret=secret, events=events, version=version, **more)


def new_signing_secret() -> str:
    """As api makes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@pytest.fixture(scope="session")
def schemas() -> tuple[str, ...]:
    """What its services keep."""
    return ("notifier",)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with certificates and keys."""
    home = Home.at(tmp_path_factory.mktemp("home"))
    home.prepare()
    authority.prepare(home, ("api", "notifier"))
    return home


@pytest.fixture
async def world(nats_url: str, postgres_dsn: str, home: Home) -> AsyncIterator[World]:
    """Everything but notifier."""
    bus = await Bus.connect(service_settings(ServiceSettings, "coordinator", nats_url), "coordinator")
    api = await Bus.connect(service_settings(ServiceSettings, "api", nats_url), "api")
    connection = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "notifier"})
    async with catalogue_server(home.tls) as (catalogue, address):

        @asynccontextmanager
        async def start(**more: object) -> AsyncIterator[None]:
            wanted: dict[str, object] = {"retry_first_s": 0.02, "allow_private_webhooks": True, "private_forges": ("127.0.0.1",)} | more
            settings = service_settings(
                Settings,
                "notifier",
                nats_url,
                postgres_dsn=SecretStr(postgres_dsn),
                tls_dir=home.tls,
                api_address=address,
                master_key_file=home.keys / "master.key",
                **wanted,
            )
            async with started("notifier", settings) as process:
                await assemble(process, settings)
                yield
                process.stop()
                await process.until_stopped()

        yield World(catalogue, bus, api, connection, start)
    await connection.close()
    await api.close()
    await bus.close()


@pytest.fixture
async def notifier(world: World) -> AsyncIterator[World]:
    """And notifier."""
    async with world.start():
        yield world


@pytest.fixture
def signing_secret() -> str:
    """A new one."""
    return new_signing_secret()


Probe = Callable[[], Awaitable[bool]]
