"""What commands on services do on the target, as the deployer's local target does it."""

from services.deployer.targets.local.records import Placed, ServiceRecord
from shared.contracts import commands as c
from shared.contracts.commands import Command
from shared.contracts.releases import Release
from tests.simulation.target import Container, Failed, Landing, Target, container_of, made_by


def _there(target: Target, release: Release) -> Container:
    found = target.containers.get(container_of(release))
    if found is None:
        raise Failed(f"the container of {release.service} is gone")
    return found


def _placed(command: c.ServiceCommand) -> Placed:
    return Placed(release=command.release, container=container_of(command.release), deployment=str(command.deployment))


def _starts_in_switch(release: Release) -> bool:
    return release.port is None


def deploy(target: Target, command: c.DeployContainer) -> Landing | None:
    """The candidate, beside what is live."""
    release, record = command.release, target.service(command.release.service)
    name = container_of(release)
    found = target.containers.get(name)
    if found is not None and found.step_key != command.step_key and not record.runs(release.key) and name not in record.containers():
        del target.containers[name]
        found = None
    if found is not None:
        found.started = found.started or not _starts_in_switch(release)
        return None
    return lambda: target.create(name, made_by(command, "application", release.service, started=not _starts_in_switch(release)))


def remove(target: Target, command: c.DeployContainer) -> Landing | None:
    """What this deployment made; never what is live."""
    record = target.service(command.release.service)
    live = record.live.container if record.live else ""
    mine = [
        name
        for name, container in target.containers.items()
        if container.role == "application" and container.service == command.release.service
        and container.deployment == command.deployment and name != live
    ]  # fmt: skip
    return lambda: target.remove(*mine)


def connect(target: Target, command: c.ConnectContainer) -> Landing:
    """On the network."""
    found = _there(target, command.release)

    def land() -> None:
        found.connected = True

    return land


def nothing(_target: Target, _command: Command) -> None:
    """Goes with the undo of another step."""
    return


def expose(target: Target, command: c.ExposeCandidate) -> None:
    """The private route."""
    _there(target, command.release)
    record = target.service(command.release.service)
    if not record.runs(command.release.key):
        target.keep(record.exposed(_placed(command)))


def hide(target: Target, command: c.ExposeCandidate) -> None:
    """No private route."""
    target.keep(target.service(command.release.service).hidden())


def assign(target: Target, command: c.AssignDomain) -> None:
    """The names are claimed."""
    for host in command.release.hosts:
        if target.domains.setdefault(host, (command.release.service, command.step_key))[0] != command.release.service:
            raise Failed(f"{host} is another's")


def give_back(target: Target, command: c.AssignDomain) -> None:
    """Names that this step claimed are free."""
    for host in [host for host, (_, key) in target.domains.items() if key == command.step_key]:
        del target.domains[host]


def issue(target: Target, command: c.IssueCertificate) -> None:
    """A certificate, unless one serves already."""
    record, hosts = target.service(command.release.service), command.release.hosts
    usable = [one for one in (record.candidate_certificate, record.certificate) if one and one.endswith(str(hosts))]
    if hosts and not usable:
        target.keep(record.model_copy(update={"candidate_certificate": f"{record.service} {command.step_key} {hosts}"}))


def withdraw(target: Target, command: c.IssueCertificate) -> None:
    """The candidate's goes."""
    target.keep(target.service(command.release.service).model_copy(update={"candidate_certificate": None}))


def check_candidate(target: Target, command: c.CheckCandidate) -> None:
    """Healthy, and reached by its private route."""
    found, record = _there(target, command.release), target.service(command.release.service)
    routed = record.candidate is not None or record.runs(command.release.key) or not command.release.hosts
    if not (found.connected and routed and (found.started or _starts_in_switch(command.release))):
        raise Failed("the candidate is not healthy")


def promote(target: Target, command: c.SwitchTraffic) -> Landing | None:
    """It runs; a worker starts now."""
    found = _there(target, command.release)
    if _starts_in_switch(command.release):
        return lambda: _start(target, container_of(command.release))
    if found.stopped:
        raise Failed("the candidate was stopped")
    return None


def switch(target: Target, command: c.SwitchTraffic) -> Landing | None:
    """Live; a former worker is stopped."""
    record = target.service(command.release.service)
    placed = record.live if record.runs(command.release.key) and record.live is not None else _placed(command)
    former = record.former if record.runs(command.release.key) else record.live
    target.keep(record.switched_to(placed))
    if command.release.port is not None or former is None or former.container == placed.container:
        return None
    return lambda: _stop(target, former.container)


def stop_again(target: Target, command: c.SwitchTraffic) -> Landing | None:
    """A new worker is stopped; one that did not become live is gone."""
    if command.release.port is not None or (command.former is not None and command.former.key == command.release.key):
        return None
    name, live = container_of(command.release), target.service(command.release.service).live
    found = target.containers.get(name)
    if found is not None and found.deployment == command.deployment and (live is None or live.container != name):
        return lambda: target.remove(name)
    return lambda: _stop(target, name)


def bring_back(target: Target, command: c.SwitchTraffic) -> Landing | None:
    """The former container runs, made anew where it is gone."""
    former = command.former
    if former is None:
        return None
    placed = Placed(release=former, container=container_of(former), deployment=former.deployment)
    return lambda: target.bring_back(placed)


def switch_back(target: Target, command: c.SwitchTraffic) -> None:
    """The former release is live again."""
    record, placed = target.service(command.release.service), None
    if command.former is not None:
        name = container_of(command.former)
        known = [one for one in (record.former, record.live) if one is not None and one.container == name]
        placed = known[0] if known else Placed(release=command.former, container=name, deployment=command.former.deployment)
    target.keep(record.switched_back(placed, str(command.deployment)).drained())


def check_endpoint(target: Target, command: c.CheckEndpoint) -> None:
    """The release answers."""
    if not target.service(command.release.service).runs(command.release.key):
        raise Failed("another release answers")


def retire_containers(target: Target, command: c.RetireRelease) -> Landing:
    """All but the live one go."""
    record = target.service(command.release.service)
    keep = record.live.container if record.live else container_of(command.release)
    return lambda: target.remove(*_others(target, command.release.service, keep))


def retired(target: Target, command: c.RetireRelease) -> None:
    """The former release is history."""
    target.keep(target.service(command.release.service).retired())
    target.clear_jobs(str(command.deployment))
    _keep_names(target, command.release.service, command.release.hosts)


def forget_service(target: Target, command: c.RemoveService) -> Landing:
    """No record, no containers."""
    service = command.former.service
    target.keep(ServiceRecord(place=command.place, service=service))
    return lambda: target.remove(*_others(target, service, None))


def clear_service(target: Target, command: c.RemoveService) -> None:
    """What else there was of it."""
    target.clear_jobs(str(command.deployment))
    _keep_names(target, command.former.service, ())
    target.sweep()


def _others(target: Target, service: str, keep: str | None) -> list[str]:
    return [name for name, one in target.containers.items() if one.role == "application" and one.service == service and name != keep]


def _keep_names(target: Target, service: str, hosts: tuple[str, ...]) -> None:
    for host in [host for host, (owner, _) in target.domains.items() if owner == service and host not in hosts]:
        del target.domains[host]


def _stop(target: Target, name: str) -> None:
    if (found := target.containers.get(name)) is not None:
        found.stopped = True


def _start(target: Target, name: str) -> None:
    if (found := target.containers.get(name)) is not None:
        found.started, found.stopped = True, False
