"""The target's small store: what shall run, one file a service, database, claimed name and detached volume.

Written durably under the environment's lease, before the effect that it describes: whoever comes after a crash
makes the target match the record. Secret values stand in it only as they came, sealed to the target's key.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

import structlog
from pydantic import Field, ValidationError

from services.deployer.files import create_durably, remove_durably, write_durably
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseSpec, Release, Sealed
from shared.messages import Frozen, utc_now

log = structlog.get_logger()

R = TypeVar("R", bound=Frozen)


class Placed(Frozen):
    """A release, in its container."""

    release: Release
    secrets: Sealed = Sealed()
    container: str = Field(description="Name of the container")
    address: str = Field(default="", description="Its fixed address; empty where it was not needed yet")
    deployment: str = Field(description="The deployment that put it here")


class ServiceRecord(Frozen):
    """What one service is on this target."""

    place: Place
    service: str
    live: Placed | None = Field(default=None, description="Takes the traffic, or for a worker: shall run")
    former: Placed | None = Field(default=None, description="Took it before the running deployment's switch; kept until the pivot")
    candidate: Placed | None = Field(default=None, description="Reached by its private route")
    draining: Placed | None = Field(default=None, description="Took the traffic until it was switched back; answers what it was asked")
    giving_way: bool = Field(default=False, description="The live release was stopped on purpose: another is about to take its place")
    certificate: str | None = Field(default=None, description="Of the live release, by fingerprint")
    former_certificate: str | None = None
    candidate_certificate: str | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing of it is left."""
        return not (self.live or self.former or self.candidate or self.draining or self.candidate_certificate)

    def containers(self) -> set[str]:
        """The containers that the record speaks of."""
        return {placed.container for placed in (self.live, self.former, self.candidate) if placed is not None}

    def certificates(self) -> tuple[str, ...]:
        """Every certificate in use, each once."""
        found = (self.certificate, self.candidate_certificate, self.former_certificate)
        return tuple(dict.fromkeys(fingerprint for fingerprint in found if fingerprint))

    def runs(self, key: str) -> bool:
        """Whether the live release is the one with this key."""
        return self.live is not None and self.live.release.key == key

    def exposed(self, placed: Placed) -> Self:
        """The private route leads to a candidate."""
        return self._with(candidate=placed)

    def hidden(self) -> Self:
        """No private route."""
        return self._with(candidate=None)

    def making_way(self) -> Self:
        """What is live is stopped: nobody starts it any more."""
        return self._with(giving_way=True)

    def switched_to(self, placed: Placed) -> Self:
        """A release is live; the one before it is remembered until the pivot."""
        certificate = (self.candidate_certificate or self.certificate) if placed.release.hosts else None
        moved = self._with(
            live=placed, candidate=None, draining=None, giving_way=False, certificate=certificate, candidate_certificate=None
        )
        if self.live is None or self.live.container == placed.container:
            return moved
        return moved.model_copy(update={"former": self.live, "former_certificate": self.certificate})

    def switched_back(self, former: Placed | None, deployment: str) -> Self:
        """The former release is live again, where the deployment had switched; else it is as it was, but for its container."""
        if self.live is None or self.live.deployment != deployment:
            return self if former is None else self._with(live=former, giving_way=False)
        kept = self.former_certificate if self.former else self.certificate
        certificate = kept if former else None
        stays = former is not None and former.container == self.live.container
        return self._with(
            live=former,
            giving_way=False,
            former=None,
            candidate=None,
            draining=None if stays or self.live.release.runs_alone else self.live,
            certificate=certificate,
            former_certificate=None,
        )

    def drained(self) -> Self:
        """What the deployment had switched to is asked nothing any more."""
        return self._with(draining=None)

    def outlived(self, deployment: str) -> Self:
        """What another deployment's switch had replaced is history: by the turn of this one, that other has ended."""
        if self.live is None or self.live.deployment == deployment:
            return self
        return self.retired()

    def retired(self) -> Self:
        """The former release is history."""
        return self._with(former=None, former_certificate=None)

    def _with(self, **changes: object) -> Self:
        return self.model_copy(update=changes)


class DatabaseRecord(Frozen):
    """What one database is on this target."""

    place: Place
    spec: DatabaseSpec
    container: str
    volume: str
    deployment: str = Field(description="The deployment that made it")
    step_key: str
    epoch: int


class DetachedVolume(Frozen):
    """A volume whose database was taken away; kept for days. (The engine cannot change a volume's labels.)"""

    place: Place
    database: str
    volume: str
    version: str
    at: datetime = Field(default_factory=utc_now)


class DomainClaim(Frozen):
    """A name that belongs to one service."""

    host: str
    place: Place
    service: str
    step_key: str


class Undone(Frozen):
    """Steps whose undo has begun, and jobs of deployments that have ended: nothing that carries one of these keys may stand on the
    target, or start there."""

    step_keys: tuple[str, ...] = ()


_UNDONE_KEPT = 500


class Records:
    """The files. One writer a place at a time: the holder of its lease."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for part in ("services", "databases", "domains", "detached", "undone"):
            (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)

    def service(self, place: Place, service: str) -> ServiceRecord:
        """The record of a service; an empty one where there is none."""
        return _read(self._service(place, service), ServiceRecord) or ServiceRecord(place=place, service=service)

    def keep_service(self, record: ServiceRecord) -> None:
        """Writes it, or removes it where nothing is left."""
        path = self._service(record.place, record.service)
        if record.is_empty:
            remove_durably(path)
        elif _read(path, ServiceRecord) != record:
            write_durably(path, record.model_dump_json())

    def services(self, place: Place | None = None) -> Iterator[ServiceRecord]:
        """All services, or those of an environment."""
        yield from _all(self._folder / "services", ServiceRecord, place)

    def database(self, place: Place, name: str) -> DatabaseRecord | None:
        """The record of a database."""
        return _read(self._database(place, name), DatabaseRecord)

    def keep_database(self, record: DatabaseRecord) -> None:
        """Writes it."""
        write_durably(self._database(record.place, record.spec.name), record.model_dump_json())

    def forget_database(self, place: Place, name: str) -> None:
        """Removes it."""
        remove_durably(self._database(place, name))

    def databases(self, place: Place | None = None) -> Iterator[DatabaseRecord]:
        """All databases, or those of an environment."""
        yield from _all(self._folder / "databases", DatabaseRecord, place)

    def detach(self, detached: DetachedVolume) -> None:
        """Marks a volume as detached."""
        write_durably(self._folder / "detached" / f"{detached.volume}.json", detached.model_dump_json())

    def is_detached(self, volume: str) -> bool:
        """Whether a volume is marked so."""
        return (self._folder / "detached" / f"{volume}.json").exists()

    def forget_detached(self, detached: DetachedVolume) -> None:
        """A detached volume is gone."""
        remove_durably(self._folder / "detached" / f"{detached.volume}.json")

    def detached(self, place: Place | None = None) -> Iterator[DetachedVolume]:
        """All detached volumes."""
        yield from _all(self._folder / "detached", DetachedVolume, place)

    def claim(self, claim: DomainClaim) -> DomainClaim:
        """Claims a name; answers the claim that stands, which is another's where the name was taken."""
        path = self._folder / "domains" / f"{claim.host}.json"
        while not create_durably(path, claim.model_dump_json()):
            if standing := _read(path, DomainClaim):
                return standing
        return claim

    def release(self, claim: DomainClaim) -> None:
        """Gives a name back."""
        remove_durably(self._folder / "domains" / f"{claim.host}.json")

    def claims(self, place: Place | None = None) -> Iterator[DomainClaim]:
        """All names, or those of an environment."""
        yield from _all(self._folder / "domains", DomainClaim, place)

    def undone(self, place: Place) -> set[str]:
        """The keys of steps that were undone, the newest five hundred."""
        found = _read(self._undone(place), Undone)
        return set(found.step_keys) if found else set()

    def mark_undone(self, place: Place, step_key: str) -> None:
        """Remembers that a step is undone."""
        found = _read(self._undone(place), Undone) or Undone()
        if step_key not in found.step_keys:
            kept = (*found.step_keys, step_key)[-_UNDONE_KEPT:]
            write_durably(self._undone(place), Undone(step_keys=kept).model_dump_json())

    def places(self) -> set[Place]:
        """Every environment that something is known of. What cannot be read is told of, and left alone."""
        return (
            {record.place for record in _readable(self._folder / "services", ServiceRecord)}
            | {record.place for record in _readable(self._folder / "databases", DatabaseRecord)}
            | {claim.place for claim in _readable(self._folder / "domains", DomainClaim)}
        )

    def _service(self, place: Place, service: str) -> Path:
        return self._folder / "services" / f"{place.subject}.{service}.json"

    def _database(self, place: Place, name: str) -> Path:
        return self._folder / "databases" / f"{place.subject}.{name}.json"

    def _undone(self, place: Place) -> Path:
        return self._folder / "undone" / f"{place.subject}.json"


def _read(path: Path, cls: type[R]) -> R | None:
    """Raises `ValueError` where that is no such record."""
    try:
        return cls.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ValueError(f"{path} cannot be read: restore it from a backup") from error


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.json"))


def _all(folder: Path, cls: type[R], place: Place | None) -> Iterator[R]:
    for path in _files(folder):
        try:
            record = _read(path, cls)
        except ValueError:
            if place is None or path.name.startswith(f"{place.subject}."):
                raise
            continue  # another environment's, or nobody's any more
        if record is not None and place in (None, getattr(record, "place", None)):
            yield record


def _readable(folder: Path, cls: type[R]) -> Iterator[R]:
    for path in _files(folder):
        try:
            record = _read(path, cls)
        except ValueError as error:
            log.error("record left alone", reason=str(error))
            continue
        if record is not None:
            yield record
