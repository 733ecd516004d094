"""What the coordinator knows of an environment when it plans: the catalogue's word, and the record of what runs."""

from dataclasses import dataclass, field

from shared.contracts.releases import DatabaseSpec, Release, Sealed, SecretRef
from shared.messages import Frozen, Slug


@dataclass(frozen=True)
class ServiceSettings:
    """What the catalogue says of one service; the manifest stands where both speak."""

    variables: dict[str, str] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    memory_bytes: int | None = None
    cpu: float | None = None
    build_args: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """The catalogue, as it was when the environment was taken. Secret values are sealed to the target."""

    variables: dict[str, str] = field(default_factory=dict)
    services: dict[str, ServiceSettings] = field(default_factory=dict)
    secrets: tuple[SecretRef, ...] = ()
    sealed: dict[tuple[str, int], str] = field(default_factory=dict)
    https_port: int = 443
    withheld: tuple[str, ...] = ()
    """Names of secrets that the catalogue has and this environment does not get: it is a fork's."""

    def sealed_for(self, refs: tuple[SecretRef, ...]) -> Sealed:
        """The sealed values of pinned versions; one that the catalogue no longer has is left out."""
        return Sealed(values={ref.name: value for ref in refs if (value := self.sealed.get((ref.name, ref.version))) is not None})

    def missing(self, refs: tuple[SecretRef, ...]) -> tuple[SecretRef, ...]:
        """Pinned versions that the catalogue no longer has."""
        return tuple(ref for ref in refs if (ref.name, ref.version) not in self.sealed)


class Record(Frozen):
    """What an environment runs: the releases and databases of its newest deployment that ended well."""

    releases: dict[Slug, Release] = {}
    databases: dict[Slug, DatabaseSpec] = {}

    def pinned(self) -> tuple[SecretRef, ...]:
        """Every version of a secret that it needs."""
        found = {(ref.name, ref.version): ref for release in self.releases.values() for ref in release.container.secrets}
        return tuple(found.values())
