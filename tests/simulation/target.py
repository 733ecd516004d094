"""What stands on the target of one environment, and the fence before it. Records of services are the deployer's own class."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.coordinator.snapshot import Record
from services.deployer.targets.local.records import Placed, ServiceRecord
from shared.contracts.commands import Command
from shared.contracts.releases import DatabaseSpec, Release
from tests.simulation.applications import PLACE

if TYPE_CHECKING:
    from tests.simulation.tasks import Party

Landing = Callable[[], None]
"""What a request does when the container engine comes to it, which may be after its sender died."""


class Failed(Exception):
    """The step cannot be done as things are."""


@dataclass
class Container:
    """One container: what it is of, and which step of which deployment made it."""

    role: str
    service: str
    deployment: str
    step_key: str
    epoch: int
    started: bool = False
    stopped: bool = False
    connected: bool = False
    late: bool = False
    """What made it came after its sender had died or been told to stop: the next sweep of its deployment takes it away."""
    stopped_late: bool = False
    """What stopped it came so: the next look at the target puts it right."""


@dataclass
class Made:
    """A database that runs."""

    spec: DatabaseSpec
    container: str
    deployment: str
    step_key: str
    detached: bool = False
    """It is to go: whoever comes next finishes that."""


@dataclass
class Target:
    """Everything on it."""

    fence: int = 0
    holder: "Party | None" = None
    """Who has the lease of the environment."""
    containers: dict[str, Container] = field(default_factory=dict)
    services: dict[str, ServiceRecord] = field(default_factory=dict)
    databases: dict[str, Made] = field(default_factory=dict)
    domains: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Host → service and step key that claimed it."""
    undone: set[str] = field(default_factory=set)
    ran: dict[str, int] = field(default_factory=dict)
    """Step key of a job → how often it ran."""
    reverted: set[str] = field(default_factory=set)
    """Jobs whose own undo has run."""
    late: list[tuple[str, Landing]] = field(default_factory=list)
    """Requests whose sender is gone."""
    gone_late: set[str] = field(default_factory=set)
    """Containers that such a request has taken away."""
    left: bool = False
    """An undo has met releases of deployments that have ended: who reconciles looks at once, or when its process starts again."""

    def service(self, name: str) -> ServiceRecord:
        """The record of a service."""
        return self.services.get(name) or ServiceRecord(place=PLACE, service=name)

    def keep(self, record: ServiceRecord) -> None:
        """Writes it, or removes it where nothing is left."""
        if record.is_empty:
            self.services.pop(record.service, None)
        else:
            self.services[record.service] = record

    def kept(self) -> set[str]:
        """Containers that the records speak of."""
        names = {name for record in self.services.values() for name in record.containers()}
        return names | {made.container for made in self.databases.values()}

    def sweep(self, below: int = 0) -> None:
        """Removes what undone steps left, and candidates and jobs of lower epochs."""
        kept = self.kept()
        for name, container in list(self.containers.items()):
            has_undo = container.role == "job" and container.epoch + 1 >= below
            if has_undo and container.started:
                continue  # its own undo has to see it
            stale = not has_undo if container.role == "job" else container.role == "application" and container.epoch < below
            if name not in kept and (stale or container.step_key in self.undone):
                del self.containers[name]

    def outlived(self, epoch: int) -> bool:
        """Whether a release runs that no record speaks of, from before the deployment that is compensated under the epoch."""
        kept = self.kept()
        return any(one.role == "application" and one.epoch < epoch - 1 and name not in kept for name, one in self.containers.items())

    def create(self, name: str, container: Container) -> None:
        """Where the name is free."""
        self.containers.setdefault(name, container)

    def remove(self, *names: str) -> None:
        """What is there of these."""
        for name in names:
            self.containers.pop(name, None)

    def remove_idle(self, name: str) -> None:
        """One that runs by now stays."""
        found = self.containers.get(name)
        if found is not None and not found.started:
            del self.containers[name]

    def clear_jobs(self, deployment: str) -> None:
        """The jobs of a deployment that has ended: none of them starts again."""
        for name, container in list(self.containers.items()):
            if container.role == "job" and container.deployment == deployment:
                self.undone.add(container.step_key)
                del self.containers[name]

    def standing(self, name: str) -> Made | None:
        """The database of that name; one that was to go is gone."""
        made = self.databases.get(name)
        if made is not None and made.detached:
            self.detach(made)
            self.remove(made.container)
            del self.databases[name]
            return None
        return made

    def detach(self, made: Made) -> None:
        """It is to go, and whatever a request of the step that made it still brings with it."""
        made.detached = True
        self.undone.add(made.step_key)

    def land(self, landing: Landing) -> None:
        """A request whose sender is gone: what it makes, stops or takes away is marked until the next sweep or look."""
        before = {name: one.stopped for name, one in self.containers.items()}
        landing()
        for name, one in self.containers.items():
            one.late = one.late or name not in before
            one.stopped_late = one.stopped_late or (one.stopped and not before.get(name, False))
        self.gone_late |= before.keys() - self.containers.keys()

    def swept(self) -> None:
        """Of what was undone nothing may stand from here on, however late it came."""
        for one in self.containers.values():
            one.late = one.late and one.step_key not in self.undone

    def reconciled(self) -> None:
        """All that came late was seen."""
        self.left = False
        self.gone_late.clear()
        for one in self.containers.values():
            one.late = one.stopped_late = False

    def has_running(self, name: str) -> bool:
        """There is a container that runs, but for what a late request did to it."""
        found = self.containers.get(name)
        if found is None:
            return name in self.gone_late
        return found.started and (found.stopped_late or not found.stopped)

    def reconcile(self) -> None:
        """Record against target: what is live runs, leftovers go."""
        for name in list(self.databases):
            self.standing(name)
        for record in self.services.values():
            if record.live is not None and not record.giving_way:
                self.bring_back(record.live)
        self.sweep(below=self.fence)

    def bring_back(self, placed: Placed) -> None:
        """What the record speaks of runs."""
        found = self.containers.setdefault(
            placed.container, Container("application", placed.release.service, placed.deployment, "reconcile", self.fence)
        )
        found.started, found.stopped, found.connected, found.stopped_late = True, False, True, False

    def given(self, record: Record, deployment: str) -> None:
        """As an earlier deployment left it."""
        for name, release in record.releases.items():
            placed = Placed(release=release, container=container_of(release), deployment=deployment)
            certificate = f"{name} {release.hosts}" if release.hosts else None
            self.keep(ServiceRecord(place=PLACE, service=name, live=placed, certificate=certificate))
            self.bring_back(placed)
            for host in release.hosts:
                self.domains[host] = (name, f"{deployment}-assign-domain-{name}")
        for name, spec in record.databases.items():
            key = f"{deployment}-provision-database-{name}"
            self.databases[name] = Made(spec, f"database-{name}", deployment, key)
            self.containers[f"database-{name}"] = Container("database", name, deployment, key, 0, started=True)

    def of(self, deployment: str) -> list[tuple[str, str]]:
        """What the deployment has put here: service, database or job, and what of it in words; but for what came late, and for what
        another deployment's record speaks of."""
        others = {one.container for record in self.services.values() for one in (record.live, record.candidate, record.former)
                  if one is not None and one.deployment != deployment}  # fmt: skip
        found = [
            (one.service, f"container {name}") for name, one in self.containers.items()
            if one.deployment == deployment and one.step_key != "reconcile" and not one.late and name not in others
        ]  # fmt: skip
        for record in self.services.values():
            found += [(record.service, f"{kind} {one.container}")
                      for kind, one in (("live", record.live), ("candidate", record.candidate), ("former", record.former))
                      if one is not None and one.deployment == deployment]  # fmt: skip
            if record.candidate_certificate and f" {deployment}-" in record.candidate_certificate:
                found.append((record.service, f"certificate {record.candidate_certificate}"))
        found += [(name, f"database {name}") for name, made in self.databases.items() if made.deployment == deployment]
        found += [(service, f"name {host}") for host, (service, key) in self.domains.items() if key.startswith(f"{deployment}-")]
        return found


def container_of(release: Release) -> str:
    """A container's name is made from the release's key."""
    return f"{release.service}-{release.key}"


def made_by(command: Command, role: str, service: str, *, started: bool) -> Container:
    """A container that carries the step that made it."""
    return Container(role, service, str(command.deployment), command.step_key, command.epoch or 0, started=started)
