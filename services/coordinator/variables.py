"""What a service's container gets in its environment: of two that name the same variable, the manifest stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.coordinator.snapshot import ServiceSettings, Snapshot
from shared.contracts.manifest import ServiceManifest
from shared.contracts.releases import DatabaseLink, SecretRef


@dataclass(frozen=True)
class Variables:
    """Of one service."""

    values: dict[str, str]
    secrets: tuple[SecretRef, ...]
    links: tuple[DatabaseLink, ...]
    doubled: tuple[str, ...]
    """What the catalogue sets otherwise than the manifest: it does not reach the container."""


def variables_of(service: ServiceManifest, snapshot: Snapshot, settings: ServiceSettings) -> Variables:
    """Also PORT and the databases' variables are the manifest's, though only the target knows those addresses."""
    catalogue, links = snapshot.variables | settings.variables, _links(service)
    given = _given(service, links)
    values = {name: value for name, value in catalogue.items() if name not in given} | service.variables
    doubled = [f"variable {name}" for name in sorted(catalogue.keys() & given.keys()) if catalogue[name] != given[name]]
    secrets = sorted(snapshot.secrets, key=lambda ref: ref.name)
    doubled += [f"secret {ref.name}" for ref in secrets if ref.name in given]
    return Variables(values, tuple(ref for ref in secrets if ref.name not in given), links, tuple(doubled))


def _links(service: ServiceManifest) -> tuple[DatabaseLink, ...]:
    return tuple(
        DatabaseLink(database=name, variable="DATABASE_URL" if place == 0 else f"{name.upper().replace('-', '_')}_DATABASE_URL")
        for place, name in enumerate(service.databases)
    )


def _given(service: ServiceManifest, links: Sequence[DatabaseLink]) -> dict[str, str]:
    port = {"PORT": str(service.port)} if service.port is not None else {}
    return {link.variable: "" for link in links} | port | service.variables
