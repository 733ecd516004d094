"""The gRPC service Catalogue, asked as the coordinator asks it."""

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import aio

from services.api.store import places
from services.coordinator.catalogue import Catalogue, CatalogueBroken
from shared.clone_credentials import USERNAME, read_key, verify
from shared.consumer import is_outage
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import channel
from shared.sealing import unseal
from tests.component.api.running import CLONE_URL, RunningApi

if TYPE_CHECKING:
    from shared.proto.catalogue_pb2_grpc import CatalogueAsyncStub


@pytest.fixture
async def catalogue(api: RunningApi) -> "AsyncIterator[CatalogueAsyncStub]":
    """A stub with the coordinator's certificate."""
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        yield CatalogueStub(opened)


PLACE = pb.Place(organization="main", project="todo", environment="production")


async def test_followers_of_a_connection(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """Those that follow refs of this connection or any, with the pattern of each; by name whatever the connection."""
    await api.with_todo()
    await api.made("/environments/main/todo", slug="review", kind="staging", ref="refs/heads/release/*")
    await api.made("/environments/main/todo", slug="hub-only", kind="staging", ref="refs/heads/main", connection="hub")
    asked = pb.FollowersRequest(organization="main", project="todo", connection="slipway")
    found, review = (await catalogue.FollowersOf(asked)).environments
    assert (found.place, found.kind, found.target, found.ref) == (PLACE, "production", "local", "refs/heads/main")
    assert (found.connection, found.repository) == ("slipway", "slipway/main/todo")
    assert (review.place.environment, review.ref) == ("review", "refs/heads/release/*")
    (by_name,) = (await catalogue.EnvironmentOf(pb.Place(organization="main", project="todo", environment="hub-only"))).environments
    assert (by_name.ref, by_name.connection) == ("refs/heads/main", "hub")
    assert not (await catalogue.EnvironmentOf(pb.Place(organization="main", project="todo", environment="none"))).environments


async def test_a_question_that_api_fails_at_is_no_outage(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator does not wait for it with everything else, as it does for an api that is away."""

    async def fails(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(places, "environments", fails)
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        with pytest.raises(CatalogueBroken) as broken:
            await Catalogue(opened).followers("main", "todo", "hub")
    assert not is_outage(broken.value)


async def test_the_own_remote_s_source_has_a_short_lived_credential(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """The password opens with the target's key only, and reads this repository only."""
    await api.with_todo()
    source = await catalogue.SourceOf(pb.SourceRequest(organization="main", project="todo", connection="slipway", target="local"))
    assert (source.clone_url, source.username) == (f"{CLONE_URL}/main/todo.git", USERNAME)
    password = unseal((api.home.keys / "target.key").read_bytes(), source.sealed_password).decode()
    key = read_key(api.home.keys / "clone.key")
    assert verify(key, "main", "todo", password, time.time())
    assert not verify(key, "main", "other", password, time.time())


async def test_a_forge_s_source_has_its_token_sealed(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """The token crosses sealed to the target, the clone address without a credential."""
    await api.with_todo()
    await api.made(
        "/connections/main", name="hub", project="todo", forge="github", clone_url="https://github.com/acme/todo.git", token="ghp_x"
    )
    source = await catalogue.SourceOf(pb.SourceRequest(organization="main", project="todo", connection="hub", target="local"))
    assert (source.repository, source.username) == ("github.com/acme/todo", "x-access-token")
    assert unseal((api.home.keys / "target.key").read_bytes(), source.sealed_password) == b"ghp_x"


@pytest.mark.parametrize(
    ("forge", "username"),
    [("gitlab", "oauth2"), ("bitbucket", "x-token-auth"), ("bitbucket-data-center", ""), ("gitea", "slipway")],
)
async def test_a_source_says_as_whom_a_token_is_shown(api: RunningApi, catalogue: "CatalogueAsyncStub", forge: str, username: str) -> None:
    """Each forge has its user name beside a token; where there is none, the token goes as Bearer. Without a token nobody is shown."""
    await api.with_todo()
    for name, more in (("hub", {"token": "t"}), ("open", {})):
        address = f"https://git.example/acme/{name}.git"
        await api.made("/connections/main", name=name, project="todo", forge=forge, clone_url=address, **more)
    asked = [pb.SourceRequest(organization="main", project="todo", connection=name, target="local") for name in ("hub", "open")]
    hub, opened = [await catalogue.SourceOf(request) for request in asked]
    assert (hub.username, bool(hub.sealed_password)) == (username, True)
    assert (opened.username, opened.sealed_password) == ("", "")


async def test_a_snapshot_has_newest_and_pinned_secrets(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """All that a plan needs; its version grows with each change; secrets sealed to the target, former versions when pinned."""
    await api.with_todo()
    base = "/environments/main/todo/production"
    before = await catalogue.Snapshot(pb.SnapshotRequest(place=PLACE))
    await api.client.put(f"{base}/variables/LOG", json={"value": "info"})
    await api.client.put(f"{base}/variables/LOG", params={"service": "web"}, json={"value": "debug"})
    await api.client.put(f"{base}/services/web", json={"domains": ["todo.example"], "cpu": 0.5, "build_args": {"A": "1"}})
    for value in ("first", "second"):
        await api.client.put(f"{base}/secrets/KEY", json={"value": value})
    await api.client.put("/projects/main/todo/secrets/SHARED", json={"value": "shared"})
    pinned = [pb.SecretRef(name="KEY", version=1), pb.SecretRef(name="KEY", version=9)]
    snapshot = await catalogue.Snapshot(pb.SnapshotRequest(place=PLACE, pinned=pinned))
    assert snapshot.version > before.version
    assert (snapshot.variables["LOG"].value, snapshot.variables["LOG"].version) == ("info", 1)
    web = snapshot.services["web"]
    assert (dict(web.variables), list(web.domains), web.cpu, dict(web.build_args)) == ({"LOG": "debug"}, ["todo.example"], 0.5, {"A": "1"})
    assert {(ref.name, ref.version) for ref in snapshot.secrets} == {("KEY", 2), ("SHARED", 1)}
    key = (api.home.keys / "target.key").read_bytes()
    opened = {(sealed.name, sealed.version): unseal(key, sealed.sealed).decode() for sealed in snapshot.sealed}
    assert opened == {("KEY", 1): "first", ("KEY", 2): "second", ("SHARED", 1): "shared"}
    assert snapshot.https_port == 8443


async def test_another_environment_s_secret_cannot_be_pinned(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """A version of staging is not given to production, whoever asks."""
    await api.with_todo()
    await api.made("/environments/main/todo", slug="staging", kind="staging")
    await api.client.put("/environments/main/todo/staging/secrets/KEY", json={"value": "of staging"})
    request = pb.SnapshotRequest(place=PLACE, pinned=[pb.SecretRef(name="KEY", version=1)])
    assert list((await catalogue.Snapshot(request)).sealed) == []


async def test_connections_and_channels_come_with_their_secrets(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """Webhooks gets all accepted secrets, the newest first; notifier gets addresses and signing secrets."""
    await api.with_todo()
    body = {"name": "hub", "project": "todo", "forge": "github", "clone_url": "https://github.com/acme/todo.git"}
    first = (await api.made("/connections/main", **body)).json()["secret"]
    second = (await api.made("/connections/main/hub/rotate")).json()["secret"]
    (found,) = (await catalogue.Connections(pb.ConnectionsRequest(name="hub"))).connections
    assert list(found.secrets) == [second, first]
    assert found.api_url == "https://api.github.com"
    hook = (await api.made("/channels/main", name="hook", kind="webhook", url="https://example.com", events=["deployment.*"])).json()
    (channel_found,) = (await catalogue.Channels(pb.ChannelsRequest())).channels
    assert (channel_found.secret, channel_found.former_secret, list(channel_found.events)) == (hook["secret"], "", ["deployment.*"])
    assert channel_found.format == "events"
    rotated = (await api.made("/channels/main/hook/rotate")).json()
    (rotating,) = (await catalogue.Channels(pb.ChannelsRequest())).channels
    assert (rotating.secret, rotating.former_secret) == (rotated["secret"], hook["secret"])
    assert rotating.version > channel_found.version


async def test_thousands_of_connections_are_one_answer(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """With addresses as long as they may be: whoever follows the catalogue asks for all of them."""
    await api.with_todo()
    address = f"https://github.com/{'x' * 1900}.git"
    await api.made("/connections/main", name="hub", project="todo", forge="github", clone_url=address, api_url=address)
    await api.opened.parts.pool.execute(
        "INSERT INTO connections SELECT (jsonb_populate_record(one, jsonb_build_object('name', 'c' || n))).* "
        "FROM connections one, generate_series(1, 3000) n WHERE one.name = 'hub'"
    )
    await api.opened.parts.pool.execute("UPDATE connections SET sealed_secrets = '{}'")
    found = await catalogue.Connections(pb.ConnectionsRequest())
    assert len(found.connections) == 3001
    assert found.ByteSize() > 3000 * 2 * 1900


async def test_projects_for_the_git_remote(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """Whether it exists, and which refs are followed."""
    await api.with_todo()
    found = await catalogue.Project(pb.ProjectRequest(organization="main", project="todo"))
    assert (found.exists, list(found.refs)) == (True, ["refs/heads/main"])
    assert not (await catalogue.Project(pb.ProjectRequest(organization="main", project="none"))).exists


async def test_what_is_missing_is_not_found(api: RunningApi, catalogue: "CatalogueAsyncStub") -> None:
    """NOT_FOUND names it; a caller without a certificate gets nothing at all."""
    with pytest.raises(aio.AioRpcError) as error:
        await catalogue.Snapshot(pb.SnapshotRequest(place=PLACE))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert "main/todo/production" in str(error.value.details())
    async with aio.insecure_channel(f"127.0.0.1:{api.opened.grpc_port}") as plain:
        with pytest.raises(aio.AioRpcError):
            await CatalogueStub(plain).Project(pb.ProjectRequest(organization="main", project="todo"), timeout=3)
