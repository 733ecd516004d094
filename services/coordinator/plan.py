"""The plan: what the environment shall run, from manifest, catalogue and record. Pure.

Same key, nothing to do: a service whose release would have the key of the one that runs gets no steps, neither before the
lock nor with it. What has no way back is refused before anything is touched.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from services.coordinator.graph import deploy_steps
from services.coordinator.inputs import BuildsPlanned, Planned, Refused
from services.coordinator.saga import BuildInput, Plan, Saga
from services.coordinator.snapshot import Record, ServiceSettings, Snapshot
from services.coordinator.variables import variables_of
from shared.contracts.answers import Failure
from shared.contracts.gates import Gate
from shared.contracts.manifest import MIB, DatabaseManifest, HealthCheck, Manifest, Resources, ServiceManifest, is_root
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, DatabaseSpec, JobSpec, Release, ReleaseKind
from shared.messages import new_id

_LABELS_OF_AN_ADDRESS = 5
"""`<service>.<environment>.<project>.<organization>.localhost`."""


class _NoWay(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.failure = Failure(code=code, message=message)


def plan_builds(saga: Saga, snapshot: Snapshot, record: Record) -> BuildsPlanned | Refused:
    """The images that the manifest's services need, each with the key of all that goes into it; a service that runs already what
    it would run keeps its image. Another deployment may come before this one: the plan with the lock has the last word."""
    assert saga.inspected is not None
    manifest = saga.inspected.manifest
    if too_many := manifest.too_many():  # builders say so, too; they are not believed
        return Refused(Failure(code="manifest_invalid", message="; ".join(too_many.values())))
    known = {ref.name: ref for ref in snapshot.secrets}
    builds: dict[str, BuildInput] = {}
    # What no watched path shows may be in its context, and in its image: that serves this preview only.
    whose = [str(saga.origin.place)] if saga.origin.fork else []
    for name, service in manifest.services.items():
        tree, generation = saga.inspected.trees.get(name, ""), _generation(saga, record, name)
        if service.image is not None:
            key = _digest(service.image, tree, generation)
            builds[name] = BuildInput(key=key, image=service.image, generation=generation)
            continue
        build = service.build.model_copy(update={"args": _settings(snapshot, name).build_args | service.build.args})
        missing = [secret for secret in build.secrets if secret not in known]
        if missing:
            return Refused(Failure(code="secret_missing", message=f"service {name} builds with {_lack(missing, snapshot)}"))
        refs = tuple(known[secret] for secret in build.secrets)
        key = _digest(tree, build.model_dump(mode="json"), [ref.model_dump() for ref in refs], generation, *whose)
        builds[name] = BuildInput(key=key, build=build, generation=generation, secrets=snapshot.sealed_for(refs))
    ready = replace(saga, builds=builds, images=dict.fromkeys(builds, ""))
    would_run = {name: _release(ready, snapshot, record, manifest, name, []) for name in builds}
    kept = {
        name: BuildInput(key=builds[name].key, generation=builds[name].generation, kept=record.releases[name].container.image)
        for name in _unchanged(would_run, record)
    }
    return BuildsPlanned(builds | kept)


def _generation(saga: Saga, record: Record, name: str) -> str:
    """What was built anew by hand stays so: the next push does not go back to the image before."""
    if saga.origin.rebuild:
        return saga.id
    return record.releases[name].generation if name in record.releases else ""


def plan_deployment(saga: Saga, snapshot: Snapshot, record: Record, target_record: Record | None = None) -> Planned | Refused:
    """The deploy stage. `target_record` is what a roll-back returns to."""
    try:
        match saga.origin.kind:
            case ReleaseKind.ROLLBACK:
                assert target_record is not None
                wanted = _return_to(record, target_record)
            case ReleaseKind.REMOVE:
                wanted = Plan()
            case ReleaseKind.DEPLOY:
                wanted = _from_manifest(saga, snapshot, record)
        return _complete(wanted, snapshot, record, saga.origin.gates)
    except _NoWay as refusal:
        return Refused(refusal.failure)


def _complete(wanted: Plan, snapshot: Snapshot, record: Record, gates: Sequence[Gate]) -> Planned:
    """Adds the former releases, the secrets, and the steps."""
    unchanged = _unchanged(wanted.releases, record)
    releases = {name: record.releases[name] if name in unchanged else release for name, release in wanted.releases.items()}
    secrets = {name: snapshot.sealed_for(release.container.secrets) for name, release in releases.items() if name not in unchanged}
    secrets |= {name: snapshot.sealed_for(job.container.secrets) for name, job in wanted.jobs.items()}
    plan = wanted.model_copy(
        update={
            "releases": releases,
            "former": record.releases,
            "unchanged": unchanged,
            "former_databases": record.databases,
            "secrets": secrets,
            "former_secrets": {
                name: snapshot.sealed_for(release.container.secrets) for name, release in record.releases.items() if name not in unchanged
            },
            "notes": wanted.notes + tuple(f"service {name}: unchanged, keeps {_called(record.releases[name])}" for name in unchanged),
            "https_port": snapshot.https_port,
        }
    )
    return Planned(plan, deploy_steps(plan, gates))


def _unchanged(releases: Mapping[str, Release], record: Record) -> tuple[str, ...]:
    return tuple(name for name, release in releases.items() if name in record.releases and record.releases[name].key == release.key)


def _called(release: Release) -> str:
    return f"release {release.number} ({release.commit[:8]})" if release.commit else f"release {release.number}"


def _from_manifest(saga: Saga, snapshot: Snapshot, record: Record) -> Plan:
    assert saga.inspected is not None
    manifest, notes = saga.inspected.manifest, list[str]()
    databases = {name: _database(name, asked, record.databases.get(name)) for name, asked in manifest.databases.items()}
    releases = {name: _release(saga, snapshot, record, manifest, name, notes) for name in manifest.services}
    unchanged = _unchanged(releases, record)
    here = [name for name in _jobs_here(saga, manifest) if manifest.jobs[name].service not in unchanged]
    jobs = {name: _job(manifest, name, releases, here) for name in here}
    notes += [f"job {name} has no undo: what it writes stays after a roll-back" for name, job in jobs.items() if job.undo is None]
    if snapshot.withheld:
        notes.append(f"the change request comes from a fork: it does not get {_list(sorted(snapshot.withheld))}")
    _one_service_a_host(releases)
    _no_address_of_another(saga.origin.place, releases)
    reused = tuple(name for name in releases if saga.builds[name].kept is not None)
    return Plan(releases=releases, databases=databases, jobs=jobs, reused=reused, notes=tuple(notes))


def _jobs_here(saga: Saga, manifest: Manifest) -> list[str]:
    """The jobs that run in this kind of environment."""
    return [name for name, job in manifest.jobs.items() if job.runs_in(saga.origin.environment_kind)]


def _return_to(record: Record, target: Record) -> Plan:
    """The releases of a former deployment. Databases keep their storage and version: rows are not rolled back."""
    notes = ["rows are not rolled back: the databases stay as they are"] if record.databases else []
    databases = dict(record.databases)
    for name, spec in target.databases.items():
        now = record.databases.get(name)
        if now is None:
            databases[name] = spec
        elif now.version == spec.version:
            databases[name] = spec.model_copy(update={"storage_bytes": max(spec.storage_bytes, now.storage_bytes)})
    return Plan(releases=target.releases, databases=databases, reused=tuple(target.releases), notes=tuple(notes))


def _database(name: str, asked: DatabaseManifest, former: DatabaseSpec | None) -> DatabaseSpec:
    if former is not None and former.version != asked.version:
        raise _NoWay(
            "database_no_way_back",
            f"database {name} runs version {former.version}, and the manifest asks for {asked.version}: a change of the major version in "
            f"place has no way back. Add a second database with the new version, copy the rows, and move the services to it.",
        )
    if former is not None and former.storage_bytes > asked.storage_bytes:
        raise _NoWay(
            "database_no_way_back",
            f"database {name} has {former.storage_bytes // MIB} MiB of storage, and the manifest asks for {asked.storage_bytes // MIB} MiB: "
            f"storage cannot shrink. Ask for at least what it has.",
        )
    return DatabaseSpec(
        name=name, engine=asked.engine, version=asked.version, storage_bytes=asked.storage_bytes, memory_bytes=asked.memory_bytes
    )


def _release(saga: Saga, snapshot: Snapshot, record: Record, manifest: Manifest, name: str, notes: list[str]) -> Release:
    service, settings = manifest.services[name], _settings(snapshot, name)
    variables = variables_of(service, snapshot, settings)
    notes += [f"service {name}: {what} is set in the catalogue and in the manifest; the manifest stands" for what in variables.doubled]
    if service.user is not None and is_root(service.user):
        notes.append(f"service {name} runs as root, as its manifest says")
    asked, own = service.domains or settings.domains, (saga.origin.place.host(name),) if service.port else ()
    hosts = own if saga.origin.preview else asked or own
    if saga.origin.preview and asked and own:
        notes.append(f"service {name} answers at {own[0]}: a preview does not get {', '.join(asked)}")
    container = ContainerSpec(
        image=saga.images[name],
        variables=variables.values,
        secrets=variables.secrets,
        databases=variables.links,
        resources=_resources(service, settings),
        user=service.user,
        read_only=service.read_only,
        writable=service.writable,
    )
    former = record.releases.get(name)
    inputs = {
        "build": saga.builds[name].key,
        "container": container.model_dump(mode="json", exclude={"image"}),
        "databases": {link.database: manifest.databases[link.database].version for link in container.databases},
        "service": service.model_dump(mode="json", exclude={"path", "build", "watch", "variables"}),
        "jobs": [manifest.jobs[job].model_dump(mode="json") for job in _jobs_here(saga, manifest) if manifest.jobs[job].service == name],
        "hosts": hosts,
    }
    source = saga.origin.source
    return Release(
        id=new_id(),
        key=_digest(inputs),
        service=name,
        number=former.number + 1 if former else 1,
        deployment=saga.id,
        commit=source.commit if source else None,
        generation=saga.builds[name].generation,
        container=container,
        command=service.command,
        port=service.port,
        health=service.health or (HealthCheck(tcp=True) if service.port else None),
        hosts=hosts,
        strategy=service.strategy,
        stop_grace_s=service.stop_grace_s,
        depends_on=service.depends_on,
    )


def _resources(service: ServiceManifest, settings: ServiceSettings) -> Resources:
    """The manifest's limits where it says any, else the catalogue's."""
    if service.resources != Resources():
        return service.resources
    usual = service.resources
    return Resources(memory_bytes=settings.memory_bytes or usual.memory_bytes, cpu=settings.cpu or usual.cpu)


def _job(manifest: Manifest, name: str, releases: dict[str, Release], here: Sequence[str]) -> JobSpec:
    job = manifest.jobs[name]
    return JobSpec(
        name=name,
        service=job.service,
        container=releases[job.service].container,
        command=job.command,
        undo=job.undo,
        repeatable=job.repeatable,
        timeout_s=job.timeout_s,
        depends_on=tuple(dict.fromkeys(_after(manifest, job.depends_on, here))),
    )


def _after(manifest: Manifest, names: Iterable[str], here: Sequence[str]) -> Iterator[str]:
    """Of jobs that do not run here, what they would have waited for stands in their place."""
    for name in names:
        if name in here:
            yield name
        else:
            yield from _after(manifest, manifest.jobs[name].depends_on, here)


def _one_service_a_host(releases: dict[str, Release]) -> None:
    owners: dict[str, str] = {}
    for name, release in releases.items():
        for host in release.hosts:
            if host in owners:
                raise _NoWay(
                    "domain_taken", f"services {owners[host]} and {name} both have the domain {host}; a domain belongs to one service"
                )
            owners[host] = name


def _no_address_of_another(place: Place, releases: dict[str, Release]) -> None:
    """What other environments' services are called by default is not to be had, also before those run."""
    for name, release in releases.items():
        for host in release.hosts:
            labels = host.split(".")
            if len(labels) == _LABELS_OF_AN_ADDRESS and labels[-1] == "localhost" and host != place.host(labels[0]):
                raise _NoWay(
                    "domain_taken", f"service {name} cannot have the domain {host}: it is kept for a service of another environment"
                )


def _settings(snapshot: Snapshot, service: str) -> ServiceSettings:
    return snapshot.services.get(service, ServiceSettings())


def _lack(missing: list[str], snapshot: Snapshot) -> str:
    if set(missing) & set(snapshot.withheld):
        return f"{_list(missing)}, which the change request of a fork does not get: push its branch to the repository itself"
    return f"{_list(missing)}, which this environment does not have: slipway secret set {missing[0]}"


def _list(names: list[str]) -> str:
    return "the secret " + names[0] if len(names) == 1 else "the secrets " + ", ".join(names)


def _digest(*parts: object) -> str:
    """A short hash of everything given; stable over processes and versions of Python."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
