"""webhooks as it runs, on real servers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg
import httpx
import pytest
from grpc import aio
from pydantic import SecretStr

from embedded import authority
from embedded.home import Home
from services.webhooks.app import assemble
from services.webhooks.settings import Settings
from shared.authorities import nobody
from shared.contracts.events import CatalogueChanged
from shared.postgres import Pool
from shared.process import started
from shared.rpc import server
from shared.settings import ServiceSettings
from tests.component.webhooks.neighbours import TOKEN, Api, Auth, Coordinator
from tests.stack import service_settings


@dataclass
class Webhooks:
    """What a test talks to."""

    url: str
    http: httpx.AsyncClient
    api: Api
    coordinator: Coordinator
    builder: Coordinator
    pool: Pool
    settings: Settings

    def remote(self, token: str = TOKEN, project: str = "todo") -> str:
        """The address of the git remote, with a token."""
        return self.url.replace("http://", f"http://git:{token}@") + f"/git/main/{project}.git"


Running = Callable[..., AbstractAsyncContextManager[Webhooks]]


@pytest.fixture(scope="session")
def schemas() -> tuple[str, ...]:
    """What its services keep."""
    return ("webhooks",)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Certificates and keys for the three services."""
    home = Home.at(tmp_path_factory.mktemp("tls"))
    home.prepare()
    authority.prepare(home, ("auth", "api", "webhooks"))
    return home


@pytest.fixture
def api() -> Api:
    """The catalogue, with one GitHub connection, `gh`, whose secret is `geheim`."""
    found = Api()  # type: ignore[abstract]
    found.connect()
    return found


@pytest.fixture
async def running(api: Api, nats_url: str, postgres_dsn: str, certificates: Home, tmp_path: Path) -> AsyncIterator[Running]:
    """Starts webhooks, with further settings; a test may start it again, on the same database and repositories."""
    auth = Auth()  # type: ignore[abstract]
    coordinator = await Coordinator.on(_user("coordinator", nats_url))
    builder = await Coordinator.on(_user("builder", nats_url))

    @asynccontextmanager
    async def run(**more: object) -> AsyncIterator[Webhooks]:
        async with (
            settings_beside(api, auth, certificates, nats_url, postgres_dsn, tmp_path / "home", **more) as settings,
            started("webhooks", settings) as process,
        ):
            pool = await process.database(settings, "webhooks")
            url = f"http://127.0.0.1:{await assemble(process, settings, pool)}"
            async with httpx.AsyncClient(base_url=url, timeout=60, verify=nobody()) as http:
                yield Webhooks(url, http, api, coordinator, builder, pool, settings)
            process.stop()
            await process.until_stopped()

    yield run
    await coordinator.bus.close()
    await builder.bus.close()


@pytest.fixture
async def webhooks(running: Running) -> AsyncIterator[Webhooks]:
    """Webhooks, started once."""
    async with running() as one:
        yield one


@asynccontextmanager
async def settings_beside(
    api: Api, auth: Auth, certificates: Home, nats_url: str, postgres_dsn: str, home: Path, **more: object
) -> AsyncIterator[Settings]:
    """Settings of a webhooks that has these neighbours, which serve meanwhile."""
    async with _serving(certificates, "api", api.register) as api_at, _serving(certificates, "auth", auth.register) as auth_at:
        yield service_settings(
            Settings,
            "webhooks",
            nats_url,
            postgres_dsn=SecretStr(postgres_dsn),
            home=home,
            tls_dir=certificates.tls,
            api_address=api_at,
            auth_address=auth_at,
            master_key_file=certificates.keys / "master.key",
            clone_key_file=certificates.keys / "clone.key",
            **more,
        )


async def catalogue_changed(webhooks: Webhooks, action: Literal["created", "updated", "deleted"], name: str = "gh") -> None:
    """Tells everyone that a connection is another one now, as api would."""
    catalogue = await Coordinator.on(webhooks.settings.model_copy(update={"nats_user": "api"}))
    await catalogue.say(CatalogueChanged(kind="connection", name=name, action=action), deployment=None)
    await catalogue.bus.close()


@asynccontextmanager
async def undecided(dsn: str) -> AsyncIterator[None]:
    """Nothing can be judged meanwhile; it can be stored."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "webhooks"})
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE heads IN SHARE ROW EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


def _user(name: str, nats_url: str) -> ServiceSettings:
    return ServiceSettings(nats_url=nats_url, nats_user=name, nats_password=SecretStr("test"))


@asynccontextmanager
async def _serving(home: Home, name: str, register: Callable[[aio.Server], None]) -> AsyncIterator[str]:
    async with server("127.0.0.1:0", home.tls, name, register) as port:
        yield f"127.0.0.1:{port}"
