"""Registry and load balancer as containers on the real engine."""

import http.client
import json
import ssl
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiodocker import Docker
from cryptography import x509

from embedded import authority, registry, traefik
from embedded.data_plane import DataPlane
from embedded.home import Home
from embedded.images.image import MANIFEST_TYPE
from embedded.settings import Settings
from shared.traefik import (
    Buffering,
    DynamicConfiguration,
    Headers,
    HealthCheck,
    Http,
    IpAllowList,
    LoadBalancer,
    Middleware,
    RateLimit,
    RedirectScheme,
    ResponseForwarding,
    Router,
    RouterTls,
    Server,
    ServersTransport,
    Service,
    StripPrefix,
    Tls,
    Weighted,
    WeightedService,
    all_of,
    header,
    host,
    path_prefix,
    place,
    place_certificate,
)
from tests.integration.embedded.web import Web, answering
from tests.polling import eventually
from tests.stack import free_port


@pytest.fixture
async def plane(settings: Settings, home: Home) -> AsyncIterator[tuple[DataPlane, Web]]:
    """The data plane of an instance, whose api is a small server of the test."""
    authority.prepare(home, ())
    with answering("api") as api:
        made = DataPlane(
            settings,
            home,
            settings.engine.address,
            registry_port=free_port(),
            traefik_api_port=free_port(),
            webhooks=f"127.0.0.1:{free_port()}",
            api=f"127.0.0.1:{api.port}",
        )
        await made.ensure(lambda _part, _detail: None)
        yield made, api


def get(port: int, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> tuple[int, bytes]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def platform_port(settings: Settings) -> int:
    """The front door's port."""
    return int(settings.http.rpartition(":")[2])


async def inspect(plane: DataPlane, name: str) -> dict[str, Any]:
    """What the engine says of a container."""
    async with Docker(plane.docker_host) as docker:
        return dict(await docker.containers.container(name).show())


async def test_containers_have_no_rights_that_they_do_not_need(plane: tuple[DataPlane, Web], home: Home) -> None:
    """Read-only, non-root, without capabilities, limited in memory, restarted after a reboot, and labelled."""
    for name in (registry.name(home.instance), traefik.name(home.instance)):
        found = await inspect(plane[0], name)
        host_config = found["HostConfig"]
        assert host_config["ReadonlyRootfs"]
        assert host_config["CapDrop"] == ["ALL"]
        assert not host_config["CapAdd"]
        assert host_config["Memory"] > 0
        assert host_config["RestartPolicy"]["Name"] == "unless-stopped"
        assert not found["Config"]["User"].startswith("0")
        assert found["Config"]["Labels"]["slipway.instance"] == home.instance


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize("folder", [Path.home()], indirect=True)
def test_a_home_in_the_home_of_its_user(settings: Settings) -> None:
    """Images close /root to all but root, and the load balancer is not root: it must not need the home's path."""
    assert get(platform_port(settings), "/anything") == (200, b"api")


async def test_what_is_right_is_left_alone_and_what_is_not_is_mended(plane: tuple[DataPlane, Web], home: Home) -> None:
    """A second `ensure` changes nothing; a container that was stopped or removed by hand is up again after the next."""
    made, _ = plane
    names = (registry.name(home.instance), traefik.name(home.instance))
    before = [(await inspect(made, name))["State"]["StartedAt"] for name in names]
    told: dict[str, str] = {}
    await made.ensure(told.__setitem__)
    assert told == {"registry": "runs already", "traefik": "runs already"}
    assert [(await inspect(made, name))["State"]["StartedAt"] for name in names] == before
    async with Docker(made.docker_host) as docker:
        await docker.containers.container(names[0]).delete(force=True)
        await docker.containers.container(names[1]).stop()
    await made.ensure(told.__setitem__)
    assert told == {"registry": "started", "traefik": "started"}


async def test_only_what_was_removed_is_made_again_while_services_run(plane: tuple[DataPlane, Web], home: Home) -> None:
    """What was stopped is left to its owner, and nothing is swept from a registry that is pushed to."""
    made, _ = plane
    home.deleted_images.parent.mkdir(exist_ok=True)
    home.deleted_images.touch()
    told: list[str] = []
    async with Docker(made.docker_host) as docker:
        await docker.containers.container(registry.name(home.instance)).delete(force=True)
        await docker.containers.container(traefik.name(home.instance)).stop()
    for part in made.ports:
        await made.restore(part, lambda: told.append("gone"), lambda name, detail: told.append(f"{name} {detail}"))
    assert told == ["gone", "registry started"]
    assert get(made.registry_port, "/v2/")[0] == 200
    assert (await inspect(made, traefik.name(home.instance)))["State"]["Status"] == "exited"
    assert home.deleted_images.exists()


async def test_a_changed_setting_makes_the_container_anew(plane: tuple[DataPlane, Web], settings: Settings) -> None:
    """Another port for applications is listened on after the next start."""
    made, _ = plane
    changed = settings.model_copy(update={"web_port": free_port()})
    told: dict[str, str] = {}
    again = DataPlane(
        changed,
        made.home,
        made.docker_host,
        registry_port=made.registry_port,
        traefik_api_port=made.traefik_api_port,
        webhooks=made.webhooks,
        api=made.api,
    )
    await again.ensure(told.__setitem__)
    assert told == {"registry": "runs already", "traefik": "started"}
    assert get(changed.web_port, "/")[0] == 404


async def test_the_front_door_leads_to_api(plane: tuple[DataPlane, Web], settings: Settings) -> None:
    """Paths reach api unchanged, encoded characters too; /hooks and /git go elsewhere, which is down here: deliveries may come again."""
    _, api = plane
    for path in ("/", "/api/v1/projects?after=a%2Fb", "/a%2Fb", "/hooksville"):
        assert get(platform_port(settings), path) == (200, b"api")
        assert api.paths[-1] == path
    assert get(platform_port(settings), "/hooks/x")[0] == 503
    assert get(platform_port(settings), "/git/main/shop.git/info/refs")[0] == 502


async def test_headers_that_pretend_to_be_the_load_balancers_are_dropped(plane: tuple[DataPlane, Web], settings: Settings) -> None:
    """`X_Forwarded_For` never reaches an application, which might take it for X-Forwarded-For."""
    _, api = plane
    get(platform_port(settings), "/", {"X_Forwarded_For": "6.6.6.6", "X-Own": "kept"})
    names = {name.lower() for name in api.headers[-1]}
    assert "x_forwarded_for" not in names
    assert "x-own" in names


async def test_the_registry_keeps_and_deletes(plane: tuple[DataPlane, Web]) -> None:
    """A blob and a manifest can be pushed, read and deleted."""
    made, _ = plane
    connection = http.client.HTTPConnection("127.0.0.1", made.registry_port)

    def ask(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer

    config = b"{}"
    digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    location = ask("POST", "/v2/x/blobs/uploads/").headers["Location"].partition(f":{made.registry_port}")[2]
    assert ask("PUT", f"{location}&digest={digest}", config).status == 201
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": digest},
        "layers": [],
    }
    put = ask("PUT", "/v2/x/manifests/1", json.dumps(manifest).encode(), {"Content-Type": kind})
    assert put.status == 201
    assert ask("GET", "/v2/x/manifests/1", headers={"Accept": kind}).status == 200
    assert ask("DELETE", f"/v2/x/manifests/{put.headers['Docker-Content-Digest']}").status == 202
    connection.close()


class Pushing:
    """Pushes and deletes images of one blob."""

    def __init__(self, plane: DataPlane) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{plane.registry_port}/v2/", timeout=10)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def blob(self, repository: str, content: bytes) -> str:
        """Uploads; its digest."""
        digest = f"sha256:{sha256(content).hexdigest()}"
        place = httpx.URL(self._client.post(f"{repository}/blobs/uploads/").headers["Location"])
        answer = self._client.put(place.copy_merge_params({"digest": digest}), content=content)
        assert answer.status_code == 201, answer.text
        return digest

    def image(self, repository: str, content: bytes) -> tuple[str, str]:
        """Pushes under the tag `1`; the digests of manifest and blob."""
        digest = self.blob(repository, content)
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(content), "digest": digest}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}
        answer = self._client.put(f"{repository}/manifests/1", json=manifest, headers={"Content-Type": MANIFEST_TYPE})
        assert answer.status_code == 201, answer.text
        return answer.headers["Docker-Content-Digest"], digest

    def there(self, repository: str, reference: str) -> bool:
        """Whether a manifest can be had."""
        return self._client.get(f"{repository}/manifests/{reference}", headers={"Accept": MANIFEST_TYPE}).status_code == 200

    def delete(self, repository: str, digest: str) -> None:
        """Deletes a manifest."""
        assert self._client.delete(f"{repository}/manifests/{digest}").status_code == 202


async def test_the_space_of_deleted_images_is_freed_at_the_next_start(plane: tuple[DataPlane, Web], home: Home) -> None:
    """Once the builder says that it deleted some; what is there stays, and what was freed can be pushed again."""
    made, _ = plane
    pushing = Pushing(made)
    kept, _ = pushing.image("slipway/node", b"kept")
    gone, blob = pushing.image("main/shop/web", b"deleted")
    pushing.delete("main/shop/web", gone)
    data = home.registry / "data/docker/registry/v2/blobs/sha256" / blob[7:9] / blob[7:] / "data"
    told: dict[str, str] = {}
    await made.ensure(told.__setitem__)
    assert data.exists()
    assert told["registry"] == "runs already"
    home.deleted_images.parent.mkdir(exist_ok=True)
    home.deleted_images.touch()
    await made.ensure(told.__setitem__)
    assert told["registry"] == "started; the space of deleted images is free"
    assert not data.exists()
    assert not home.deleted_images.exists()
    assert pushing.there("slipway/node", kept)
    assert pushing.there("slipway/node", "1")
    pushing.image("main/shop/web", b"deleted")
    assert pushing.there("main/shop/web", gone)
    pushing.close()
    async with Docker(made.docker_host) as docker:
        names = [name for container in await docker.containers.list(all=True) for name in container["Names"]]
    assert f"/{registry.name(home.instance)}-sweep" not in names


async def test_every_kind_of_model_is_understood(plane: tuple[DataPlane, Web], home: Home, settings: Settings) -> None:
    """A file with all that the models can say is loaded, and a route through it answers."""
    made, api = plane
    server = Server(url=f"http://127.0.0.1:{api.port}")
    middlewares = {
        "strip": Middleware(strip_prefix=StripPrefix(prefixes=("/prefix",))),
        "https": Middleware(redirect_scheme=RedirectScheme(scheme="https", port="8443", permanent=True)),
        "headers": Middleware(headers=Headers(custom_request_headers={"X-A": "b"}, custom_response_headers={"X-C": ""})),
        "buffer": Middleware(buffering=Buffering(max_request_body_bytes=1000, mem_request_body_bytes=100)),
        "rate": Middleware(rate_limit=RateLimit(average=100, period="1s", burst=50)),
        "local": Middleware(ip_allow_list=IpAllowList(source_range=("127.0.0.1/32",))),
    }
    balancer = LoadBalancer(
        servers=(server,),
        pass_host_header=True,
        health_check=HealthCheck(path="/", interval="10s", timeout="2s"),
        response_forwarding=ResponseForwarding(flush_interval="10ms"),
        servers_transport="direct",
    )
    rule = all_of(host("a.localhost", "b.localhost"), header("X-Key", 'it\'s "quoted"'), path_prefix("/prefix"))
    through = ("strip", "headers", "buffer", "rate", "local")
    content = DynamicConfiguration(
        http=Http(
            routers={
                "full": Router(rule=rule, service="shared", entry_points=("web",), middlewares=through, priority=500),
                "tls": Router(rule=host("a.localhost"), service="direct", entry_points=("websecure",), tls=RouterTls()),
            },
            services={
                "direct": Service(load_balancer=balancer),
                "shared": Service(weighted=Weighted(services=(WeightedService(name="direct", weight=1),))),
            },
            middlewares=middlewares,
            servers_transports={"direct": ServersTransport(insecure_skip_verify=True, max_idle_conns_per_host=10)},
        )
    )
    place(home.traefik / "dynamic", "full", content)

    async def loaded() -> bool:
        return get(made.traefik_api_port, "/api/http/routers/tls@file")[0] == 200

    await eventually(loaded)
    for kind, names in (("middlewares", middlewares), ("routers", content.http.routers if content.http else {})):
        for name in names:
            status, body = get(made.traefik_api_port, f"/api/http/{kind}/{name}@file")
            assert (status, json.loads(body)["status"]) == (200, "enabled")
    answer = get(settings.web_port, "/prefix/x", {"Host": "b.localhost", "X-Key": 'it\'s "quoted"'})
    assert answer == (200, b"api")
    assert api.paths[-1] == "/x"
    assert get(settings.web_port, "/prefix/x", {"Host": "c.localhost"})[0] == 404


async def test_a_placed_certificate_is_served(plane: tuple[DataPlane, Web], home: Home, settings: Settings) -> None:
    """A certificate and key in the certificates' folder are chosen by SNI: Traefik may read both, other users neither."""
    _, api = plane
    issued = authority.load(home.tls).issue("shop.localhost")
    chain, key = issued.pem()
    folder = home.traefik / "certificates"
    certificate = place_certificate(folder, chain, key)
    assert place_certificate(folder, chain, key) == certificate
    router = Router(rule=host("shop.localhost"), service="shop", entry_points=("websecure",), tls=RouterTls())
    service = Service(load_balancer=LoadBalancer(servers=(Server(url=f"http://127.0.0.1:{api.port}"),)))
    content = DynamicConfiguration(http=Http(routers={"shop": router}, services={"shop": service}), tls=Tls(certificates=(certificate,)))
    place(home.traefik / "dynamic", "shop", content)

    async def served() -> bool:
        return await _served_certificate(settings.https_port, "shop.localhost") == issued.certificate

    await eventually(served)
    assert (home.traefik / certificate.key_file).stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o007 == 0


@pytest.mark.usefixtures("plane")
async def test_names_that_no_application_has_are_answered_with_our_certificate(home: Home, settings: Settings) -> None:
    """Traefik's own would be made anew, with its key, at every change of any route."""
    ours = x509.load_pem_x509_certificate(home.default_certificate[0].read_bytes())

    async def served() -> bool:
        return await _served_certificate(settings.https_port, "nobody.localhost") == ours

    await eventually(served)


async def _served_certificate(port: int, name: str) -> x509.Certificate:
    import socket

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)
