"""A key pair of a connection's own, to clone over SSH; its host is known by the keys that it publishes, or showed first."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from shared import ssh
from shared.proto import catalogue_pb2 as pb
from shared.proto.catalogue_pb2_grpc import CatalogueStub
from shared.rpc import channel
from shared.sealing import unseal
from tests.component.api.running import RunningApi
from tests.component.builder.ssh_forge import running_ssh_forge

KEY = "/connections/main/hub/deploy-key"


async def _connected(api: RunningApi, clone_url: str = "https://github.com/acme/todo.git", forge: str = "github", **more: str) -> None:
    await api.with_todo()
    await api.made("/connections/main", name="hub", project="todo", forge=forge, clone_url=clone_url, **more)


async def test_a_key_is_made_and_its_private_half_goes_to_the_target_only(api: RunningApi, tmp_path: Path) -> None:
    """Sealed; with what the host showed. The token stays with the forge's API. The audit log says by which keys the host is known."""
    with running_ssh_forge(tmp_path / "sshd") as forge:
        await _connected(api, token="ghp_x")
        url = forge.url(Path("/acme/todo.git"))
        made = (await api.made(KEY, clone_url=url)).json()
        assert (made["clone_url"], made["installed"]) == (url, False)
        assert made["host_fingerprints"] == {"ssh-ed25519": ssh.fingerprint(forge.host_key)}
        again = (await api.made(KEY)).json()
        assert again == made == (await api.client.get(KEY)).json()
        known = forge.known_hosts
    assert (await api.made(KEY)).json() == made  # it is not believed a second time, nor asked
    assert (await api.client.post(KEY, json={"trust": True})).status_code == 422
    async with channel(f"127.0.0.1:{api.opened.grpc_port}", api.home.tls, "coordinator") as opened:
        catalogue = CatalogueStub(opened)
        source = await catalogue.SourceOf(
            pb.SourceRequest(organization="main", project="todo", connection="hub", target="local", made=True)
        )
        (connection,) = (await catalogue.Connections(pb.ConnectionsRequest())).connections
    private = unseal((api.home.keys / "target.key").read_bytes(), source.sealed_password)
    public = load_ssh_private_key(private, None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert made["public_key"] == f"{public} slipway-hub"
    assert (source.clone_url, source.username, source.known_hosts) == (url, "", known)
    assert (connection.deploy_key.encode(), connection.known_hosts, connection.token) == (private, known, "ghp_x")
    stored: str = await api.opened.parts.pool.fetchval("SELECT connections::text FROM connections")
    assert private.splitlines()[1].decode() not in stored


@pytest.mark.parametrize(
    ("forge", "clone_url", "over_ssh"),
    [
        ("github", "https://github.com/acme/todo.git", "ssh://git@github.com/acme/todo.git"),
        ("bitbucket", "https://bitbucket.org/acme/todo", "ssh://git@bitbucket.org/acme/todo.git"),
    ],
)
async def test_a_host_that_publishes_its_keys_is_known_by_them(api: RunningApi, forge: str, clone_url: str, over_ssh: str) -> None:
    """Nobody is asked. Another key pair takes its place when somebody wants it, and none is left when it is removed."""
    await _connected(api, clone_url, forge)
    first = (await api.made(KEY)).json()
    published = [ssh.fingerprint(key) for key in ssh.PUBLISHED[over_ssh.split("@")[1].split("/", maxsplit=1)[0]]]
    assert (first["clone_url"], list(first["host_fingerprints"].values())) == (over_ssh, published)
    second = (await api.made(KEY, fresh=True)).json()
    assert second["public_key"] != first["public_key"]
    assert (await api.client.delete(KEY)).json() == {"connection": "hub", "removed": False}
    assert (await api.client.get(KEY)).status_code == 404
    assert not (await api.client.get("/connections/main/hub")).json()["has_deploy_key"]


@pytest.mark.parametrize(
    ("forge", "wanted", "said"),
    [
        ("bitbucket-data-center", {}, "say it as clone_url ssh://git@host:port"),
        ("gitea", {"clone_url": "ssh://git@127.0.0.1:1/acme/todo.git"}, "Nothing speaks SSH at 127.0.0.1, port 1"),
        ("gitea", {"clone_url": "ssh://git@10.1.2.3/acme/todo.git"}, "SLIPWAY_PRIVATE_FORGES"),
        ("gitea", {"clone_url": "https://git.example/acme/todo.git"}, "an address over SSH"),
        ("gitea", {"host_keys": ["ssh-ed25519 AAAA"]}, "is no public key"),
        ("gitea", {"install": True}, "has no token or app"),
    ],
)
async def test_what_keeps_a_key_from_being_made_is_said(api: RunningApi, forge: str, wanted: dict[str, object], said: str) -> None:
    """With what to do; and nothing is changed."""
    await _connected(api, "https://git.example/acme/todo.git", forge)
    refused = await api.client.post(KEY, json=wanted)
    assert (refused.status_code, said in refused.text) == (422, True), refused.text
    assert (await api.client.get("/connections/main/hub")).json()["clone_url"].startswith("https://")


async def test_making_a_key_takes_the_right_to_change_the_connection(api: RunningApi) -> None:
    """A deployer may look at the public half."""
    await _connected(api)
    await api.made(KEY)
    headers = {"Authorization": f"Bearer {await api.person('deployer', 'project/main/todo')}"}
    assert (await api.client.post(KEY, headers=headers)).status_code == 403
    assert (await api.client.delete(KEY, headers=headers)).status_code == 403
