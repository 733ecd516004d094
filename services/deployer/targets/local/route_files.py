"""A service's file in the load balancer's folder, rendered from its record. Pure."""

from dataclasses import dataclass
from pathlib import Path

from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.records import Placed, ServiceRecord
from shared.traefik import (
    Certificate,
    DynamicConfiguration,
    Http,
    LoadBalancer,
    Middleware,
    RedirectScheme,
    Router,
    RouterTls,
    Server,
    Service,
    Tls,
    all_of,
    certificate_files,
    header,
    host,
)

PRIVATE_HEADER = "X-Slipway-Candidate"
PREFIX = "service."
"""Every file of ours begins with it; others' files in the folder are not touched."""
_PUBLIC_PRIORITY, _PRIVATE_PRIORITY = 100, 1000


@dataclass(frozen=True)
class RouteFiles:
    """How records become files."""

    certificates: Path
    """Where certificates and keys lie."""
    https_port: int

    def render(self, record: ServiceRecord, token: str) -> DynamicConfiguration | None:
        """The file's content; None where there is nothing to say. `token` is what the private route asks for."""
        name = route_name(record.place, record.service)
        routers: dict[str, Router] = {}
        services: dict[str, Service] = {}
        middlewares: dict[str, Middleware] = {}
        if record.live is not None and _routed(record.live):
            hosts = host(*record.live.release.hosts)
            routers[name] = _secure(hosts, name, _PUBLIC_PRIORITY)
            routers[f"{name}.web"] = Router(
                rule=hosts, service=name, entry_points=("web",), middlewares=(f"{name}.https",), priority=_PUBLIC_PRIORITY
            )
            middlewares[f"{name}.https"] = Middleware(redirect_scheme=RedirectScheme(scheme="https", port=str(self.https_port)))
            services[name] = _service(record.live)
        if record.candidate is not None and _routed(record.candidate):
            rule = all_of(host(*record.candidate.release.hosts), header(PRIVATE_HEADER, token))
            routers[candidate(name)] = _secure(rule, candidate(name), _PRIVATE_PRIORITY)
            services[candidate(name)] = _service(record.candidate)
        found = tuple(self._certificate(name, fingerprint) for fingerprint in record.certificates())
        if not routers and not found:
            return None
        http = Http(routers=routers, services=services, middlewares=middlewares) if routers else None
        return DynamicConfiguration(http=http, tls=Tls(certificates=found) if found else None)

    def _certificate(self, name: str, fingerprint: str) -> Certificate:
        return certificate_files(self.certificates, f"{name}.{fingerprint}")


def candidate(name: str) -> str:
    """The name of a service's private router and service."""
    return f"{name}.candidate"


def url_of(placed: Placed) -> str:
    """Where a container answers, from the host."""
    return f"http://{placed.address}:{placed.release.port}"


def _routed(placed: Placed) -> bool:
    return bool(placed.release.hosts) and placed.release.port is not None


def _secure(rule: str, service: str, priority: int) -> Router:
    return Router(rule=rule, service=service, entry_points=("websecure",), priority=priority, tls=RouterTls())


def _service(placed: Placed) -> Service:
    return Service(load_balancer=LoadBalancer(servers=(Server(url=url_of(placed)),)))
