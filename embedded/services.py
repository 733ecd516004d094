"""The services of the control plane: which there are, and the environment that each one gets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from embedded.home import Home
from embedded.images.handover import kept
from embedded.settings import Settings


@dataclass(frozen=True)
class Service:
    """One process: `module` has `async def main()`; the rest is what it needs."""

    name: str
    module: str
    stateful: bool = False
    http: bool = False
    grpc: bool = False
    master_key: bool = False
    clone_key: bool = False
    target_key: bool = False

    @property
    def port_names(self) -> tuple[str, ...]:
        """Its entries in run/ports.json."""
        return (
            f"{self.name}-health",
            *((f"{self.name}-http",) if self.http else ()),
            *((f"{self.name}-grpc",) if self.grpc else ()),
        )


SERVICES = (
    Service("auth", "services.auth.app", stateful=True, grpc=True),
    Service("api", "services.api.app", stateful=True, http=True, grpc=True, master_key=True, clone_key=True),
    Service("webhooks", "services.webhooks.app", stateful=True, http=True, master_key=True, clone_key=True),
    Service("coordinator", "services.coordinator.app", stateful=True),
    Service("builder", "services.builder.app", target_key=True),
    Service("deployer", "services.deployer.app", target_key=True),
    Service("notifier", "services.notifier.app", stateful=True, master_key=True),
)
"""In the order of their start: those that are asked come first."""

PRELOADED = (
    "uvloop",
    "asyncpg",
    "faststream.nats",
    "google.protobuf.descriptor_pool",
    "grpc.aio",
    "httpx",
    "httpcore",
    "anyio._backends._asyncio",
    "encodings.idna",
    "fastapi",
    "uvicorn.protocols.websockets.auto",
    "uvicorn.lifespan.off",
    "aiodocker",
    "yaml",
    "jinja2",
    "prometheus_client",
    "standardwebhooks",
    "opentelemetry.sdk.trace.export",
    "cryptography.hazmat.primitives.ciphers.aead",
    "nacl.public",
    "structlog",
)
"""What the supervisor imports before it forks, once for all; all of shared/ comes besides."""


@dataclass(frozen=True)
class Wiring:
    """Where everything is in this start: what the environments of the services are made of."""

    settings: Settings
    home: Home
    ports: Mapping[str, int]
    docker_host: str
    nats_url: str
    nats_passwords: Mapping[str, str]
    database_dsns: Mapping[str, str]
    engine_is_ours: bool = False
    """We started the container engine, for ourselves."""

    def address(self, port_name: str) -> str:
        """host:port of a chosen port."""
        return f"127.0.0.1:{self.ports[port_name]}"

    def environment(self, service: Service) -> dict[str, str]:
        """The whole environment of a service's process; only its own secrets are in it."""
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        return kept(self.home.substitutes) | self._usual(service) | inherited | self._shared() | self._own(service)

    def _usual(self, service: Service) -> dict[str, str]:
        """What the user may set otherwise. BuildKit's cache belongs to all who use the engine, so it is pruned in our own only."""
        return {"SLIPWAY_PRUNE_BUILD_CACHE": "true"} if service.name == "builder" and self.engine_is_ours else {}

    def _shared(self) -> dict[str, str]:
        keys = self.home.keys
        optional = {
            "SLIPWAY_AUTH_ADDRESS": "auth-grpc",
            "SLIPWAY_API_ADDRESS": "api-grpc",
        }
        return {
            "SLIPWAY_HOME": str(self.home.path),
            "SLIPWAY_INSTANCE": self.home.instance,
            "SLIPWAY_TARGET": self.settings.target,
            "SLIPWAY_ORGANIZATION": self.settings.organization,
            "SLIPWAY_NATS_URL": self.nats_url,
            "SLIPWAY_OWN_BUS": str(self.settings.nats_url is None).lower(),
            "SLIPWAY_TLS_DIR": str(self.home.tls),
            "SLIPWAY_DOCKER_HOST": self.docker_host,
            "SLIPWAY_REGISTRY": self.address("registry"),
            "SLIPWAY_TRAEFIK_API": f"http://{self.address('traefik-api')}",
            "SLIPWAY_HTTPS_PORT": str(self.settings.https_port),
            "SLIPWAY_WEB_PORT": str(self.settings.web_port),
            "SLIPWAY_PUBLIC_URL": f"http://{self.settings.http}",
            "SLIPWAY_TARGET_PUBLIC_KEY_FILE": str(keys / "target.pub"),
            **({"SLIPWAY_CLONE_URL": f"http://{self.address('webhooks-http')}/git"} if "webhooks-http" in self.ports else {}),
            **{name: self.address(port) for name, port in optional.items() if port in self.ports},
        }

    def _own(self, service: Service) -> dict[str, str]:
        own = {"SLIPWAY_HEALTH_PORT": str(self.ports[f"{service.name}-health"])}
        user, password = self._bus_user(service)
        own |= {"SLIPWAY_NATS_USER": user, "SLIPWAY_NATS_PASSWORD": password}
        if service.stateful:
            own["SLIPWAY_POSTGRES_DSN"] = self.database_dsns[service.name]
        if service.http:
            own["SLIPWAY_HTTP_ADDRESS"] = self.address(f"{service.name}-http")
        if service.grpc:
            own["SLIPWAY_GRPC_ADDRESS"] = self.address(f"{service.name}-grpc")
        if service.master_key:
            own["SLIPWAY_MASTER_KEY_FILE"] = str(self.home.keys / "master.key")
        if service.clone_key:
            own["SLIPWAY_CLONE_KEY_FILE"] = str(self.home.keys / "clone.key")
        if service.target_key:
            own["SLIPWAY_TARGET_KEY_FILE"] = str(self.home.keys / "target.key")
        return own

    def _bus_user(self, service: Service) -> tuple[str, str]:
        """Its own user on the embedded server; on somebody else's, what stands in the URL."""
        if self.settings.nats_url is None:
            return service.name, self.nats_passwords[service.name]
        url = urlsplit(self.settings.nats_url)
        return url.username or "", url.password or ""


_NOT_INHERITED = {
    "SLIPWAY_HTTP",
    "SLIPWAY_NATS_PORT",
    "SLIPWAY_NATS_URL",
    "SLIPWAY_POSTGRES_DSN",
    "SLIPWAY_TOKEN",
    "SLIPWAY_CLONE_KEY_FILE",
    "SLIPWAY_MASTER_KEY_FILE",
    "SLIPWAY_TARGET_KEY_FILE",
}
