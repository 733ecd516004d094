"""auth as it runs, on real servers, with its gRPC service behind mutual TLS."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpc import aio
from pydantic import SecretStr

from embedded import authority
from embedded.home import Home
from services.auth.app import assemble
from services.auth.bootstrap import bootstrap
from services.auth.settings import Settings
from shared.process import started
from shared.proto import auth_pb2 as pb
from shared.proto.auth_pb2_grpc import AuthStub
from shared.rpc import channel
from tests.stack import service_settings

if TYPE_CHECKING:
    from shared.proto.auth_pb2_grpc import AuthAsyncStub


@dataclass(frozen=True)
class RunningAuth:
    """What a test talks to."""

    stub: "AuthAsyncStub"
    admin: pb.Subject
    token: str
    """The first token."""
    address: str
    tls: Path
    nats_url: str
    dsn: str

    async def person(self, name: str, *grants: tuple[str, str]) -> str:
        """Somebody new with these roles; their id."""
        made = await self.stub.CreatePerson(pb.CreatePersonRequest(name=name, by=self.admin.id))
        for role, resource in grants:
            await self.stub.Grant(pb.RoleGrant(person=made.id, role=role, resource=resource, by=self.admin.id))
        return made.id

    async def audit(self, organization: str = "main") -> list[pb.AuditEntry]:
        """The newest entries first."""
        return list((await self.stub.ListAudit(pb.ListAuditRequest(organization=organization, limit=500))).entries)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with certificates for auth and for api, which calls it."""
    home = Home.at(tmp_path_factory.mktemp("home"))
    home.prepare()
    authority.prepare(home, ("auth", "api"))
    return home


@pytest.fixture
async def auth(nats_url: str, postgres_dsn: str, home: Home) -> AsyncIterator[RunningAuth]:
    """Auth with its first admin, called as api calls it."""
    token = await bootstrap(postgres_dsn)
    assert token
    settings = service_settings(Settings, "auth", nats_url, postgres_dsn=SecretStr(postgres_dsn), tls_dir=home.tls)
    async with started("auth", settings) as process:
        address = f"127.0.0.1:{await assemble(process, settings)}"
        async with channel(address, home.tls, "api") as opened:
            stub = _stub(opened)
            admin = await stub.Authenticate(pb.AuthenticateRequest(token=token))
            yield RunningAuth(stub, admin, token, address, home.tls, nats_url, postgres_dsn)
        process.stop()
        await process.until_stopped()


def _stub(opened: aio.Channel) -> "AuthAsyncStub":
    return AuthStub(opened)
