"""What must be so after each run, whatever struck: nothing lost, nothing endless, nothing wrong."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from cli.failures import Failed as Refused
from services.coordinator.snapshot import Record
from services.deployer.targets.local.state import TargetState
from services.deployer.targets.local.target import local_target
from shared.contracts.places import Place
from tests.faults.strikes import books, images
from tests.faults.strikes.load import Failed, Load
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.stream import Lane, Sent

END_LIMIT_S = 150.0
"""From when all is ready again until every deployment has ended."""
SETTLE_LIMIT_S = 30.0
_NO_ONES_ROUTES = {"platform.yml", "default-certificate.yml"}
FINAL = frozenset({"succeeded", "rolled_back", "cancelled", "superseded", "denied", "failed"})


@dataclass
class Findings:
    """What is not as it must be, in sentences."""

    lost: list[str] = field(default_factory=list)
    endless: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """All is well."""
        return not (self.lost or self.endless or self.wrong)


def await_ends(machine: Machine, sent: Sequence[Sent], findings: Findings, *, retried: bool = False) -> None:
    """Waits for the end of every deployment, and notes when each was seen to have ended. Where what is stuck is `retried`, it is."""
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        found = books.read(machine)
        by_commit = {deployment.commit: deployment for deployment in found.deployments}
        for one in sent:
            deployment = by_commit.get(one.commit)
            if deployment is not None:
                one.deployment, one.state = deployment.id, deployment.state
                if deployment.state in FINAL and one.ended_at is None:
                    one.ended_at = time.monotonic()
        settled = {change.commit: change for change in found.changes if change.state != "pending"}
        waiting = [one for one in sent if one.ended_at is None and (one.commit not in settled or settled[one.commit].deployments)]
        others = [deployment for deployment in found.deployments if deployment.state not in FINAL]
        if not waiting and not others:
            return
        stuck = [deployment for deployment in others if deployment.state == "stuck"]
        if retried:
            _retry(machine, stuck)
        if time.monotonic() > deadline or (stuck and not retried):
            _unfinished(found, waiting, others, settled, findings)
            return
        time.sleep(0.25)


def _retry(machine: Machine, stuck: Sequence[books.Deployment]) -> None:
    with closing(machine.api()) as api:
        for deployment in stuck:
            with suppress(Refused):
                api.post(f"/deployments/{deployment.id}/retry")
                time.sleep(2.0)


def _unfinished(
    found: books.Books,
    waiting: Sequence[Sent],
    others: Sequence[books.Deployment],
    settled: dict[str, books.Change],
    findings: Findings,
) -> None:
    for deployment in others:
        sentence = f"{deployment.id} of {deployment.project} is {deployment.state}"
        (findings.wrong if deployment.state == "stuck" else findings.endless).append(sentence)
    for one in waiting:
        if not any(deployment.commit == one.commit for deployment in found.deployments):
            known = "settled without a deployment that exists" if one.commit in settled else "not settled"
            findings.lost.append(f"{one.commit[:8]} of {one.lane.place} ({one.what}): {known}")


def examine(machine: Machine, lanes: Sequence[Lane], sent: Sequence[Sent], may_end: frozenset[str], findings: Findings) -> None:
    """Everything but the requests."""
    _changes_and_ends(machine, sent, may_end, findings)
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while True:
        # What is tidied up after an end (networks, detached volumes) may take a moment more.
        wrong = [sentence for lane in lanes for sentence in _environment(machine, lane)] + list(_orphans(machine, lanes))
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    findings.wrong += wrong


def _changes_and_ends(machine: Machine, sent: Sequence[Sent], may_end: frozenset[str], findings: Findings) -> None:
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while True:
        found = books.read(machine)
        changes = {change.commit: change for change in found.changes}
        pending = [one for one in sent if one.accepted_at and (one.commit not in changes or changes[one.commit].state == "pending")]
        shown = [one for one in found.deployments if found.shown.get(one.id) != one.state]
        if not (pending or shown) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    findings.lost += [f"{one.commit[:8]} of {one.lane.place} was accepted, and its change is not settled" for one in pending]
    findings.wrong += [f"{one.id} is {one.state}, and the API shows {found.shown.get(one.id)}" for one in shown]
    for one in sent:
        change = changes.get(one.commit)
        if change is not None and change.state == "ignored" and "superseded" not in one.ends:
            findings.lost.append(f"{one.commit[:8]} of {one.lane.place} ({one.what}) was ignored: {change.reason}")
        if one.state in FINAL and one.state not in one.ends | may_end:
            findings.wrong.append(f"{one.deployment} of {one.lane.place} ({one.what}) ended as {one.state}")
    twice = {one.commit for one in found.deployments if one.commit and sum(other.commit == one.commit for other in found.deployments) > 1}
    findings.wrong += [f"{commit[:8]} led to two deployments" for commit in twice]


def _describe(machine: Machine, place: Place) -> TargetState:
    async def look() -> TargetState:
        async with local_target(machine.target) as target:
            return await target.state.describe(place)

    return asyncio.run(look())


def _environment(machine: Machine, lane: Lane) -> Iterator[str]:
    """What an environment runs, against the record of what it shall run, object by object."""
    record, state = books.record(machine, lane.place), _describe(machine, lane.place)
    for sentence in (*_services(record, state), *_databases(record, state), *_ways(record, state)):
        yield f"{lane.place}: {sentence}"
    for release in record.releases.values():
        version, answered = lane.versions.get(release.commit or "", "?"), _answered(lane)
        if answered != version:
            yield f"{lane.place}: version {version} shall run, and {answered} answers"
    if lane.rows:
        missing = lane.load.acknowledged - _rows(state)
        if missing:
            yield f"{lane.place}: {len(missing)} of {len(lane.load.acknowledged)} acknowledged rows are missing"


def _services(record: Record, state: TargetState) -> Iterator[str]:
    if set(record.releases) != set(state.services):
        yield f"services {sorted(state.services)} are there, {sorted(record.releases)} shall be"
    for name, release in record.releases.items():
        service = state.services.get(name, {})
        live = service.get("live")
        if not isinstance(live, dict) or live["release"] != release.id:
            yield f"{name}: {live} is live, {release.id} shall be"
            continue
        for role in ("former", "candidate"):
            if service[role] is not None:
                yield f"{name}: a {role} is left"
        container = state.containers.get(str(live["container"]))
        if container is None or not container["running"]:
            yield f"{name}: its container does not run"
            continue
        wanted = {"release": release.id, "image": release.container.image, "restart_policy": "unless-stopped"}
        yield from (f"{name}: {key} is {container[key]}, {value} shall be" for key, value in wanted.items() if container[key] != value)


def _databases(record: Record, state: TargetState) -> Iterator[str]:
    if set(record.databases) != set(state.databases):
        yield f"databases {sorted(state.databases)} are there, {sorted(record.databases)} shall be"
    for name, spec in record.databases.items():
        database = state.databases.get(name)
        if database is None:
            continue
        if database["spec"] != spec.model_dump(mode="json"):
            yield f"{name}: {database['spec']} stands, {spec} shall"
        container = state.containers.get(str(database["container"]))
        if container is None or not container["running"]:
            yield f"{name}: its container does not run"
        if database["volume"] not in state.volumes:
            yield f"{name}: its volume is not there"


def _ways(record: Record, state: TargetState) -> Iterator[str]:
    """Containers, routes, names, certificates and volumes: no more and no fewer than the record needs."""
    lives = {str(live["container"]) for service in state.services.values() if isinstance(live := service["live"], dict)}
    expected = lives | {str(database["container"]) for database in state.databases.values()}
    yield from (f"the container {name} is left ({state.containers[name]['command']})" for name in set(state.containers) - expected)
    hosts = {host: name for name, release in record.releases.items() for host in release.hosts}
    if dict(state.domains) != hosts:
        yield f"names {dict(state.domains)} are claimed, {hosts} shall be"
    routed = [release for release in record.releases.values() if release.hosts]
    if len(state.routes) != len(routed):
        yield f"routes {sorted(state.routes)} are there, {len(routed)} shall be"
    if len(state.volumes) != len(record.databases):
        yield f"volumes {state.volumes} are there, {len(record.databases)} shall be"
    if bool(state.networks) != bool(record.releases):
        yield f"networks {sorted(state.networks)}"


def _answered(lane: Lane) -> str:
    command = ("curl", "-sS", "-m", "10", "--cacert", lane.load.authority, "--resolve", f"{lane.load.host}:{lane.load.port}:127.0.0.1")
    done = subprocess.run((*command, f"https://{lane.load.host}:{lane.load.port}/version"), check=False, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


def _rows(state: TargetState) -> set[str]:
    """What the database of an application holds."""
    for database in state.databases.values():
        query = 'psql -U "$POSTGRES_USER" -d "${POSTGRES_DB:-$POSTGRES_USER}" -qAtc "SELECT token FROM kept"'
        done = subprocess.run(
            ("docker", "exec", str(database["container"]), "sh", "-c", query), check=False, capture_output=True, text=True
        )
        return set(done.stdout.split())
    return set()


def _orphans(machine: Machine, lanes: Sequence[Lane]) -> Iterator[str]:
    """What is on the engine, in the load balancer and in the builder's folders, and belongs to no environment."""
    instance = machine.home.instance
    projects = {lane.place.project for lane in lanes}
    containers = _docker("ps", "--all", "--format", '{{.Names}} {{.Label "slipway.project"}}')
    for name, _, project in (line.partition(" ") for line in containers):
        if project not in projects and name not in {machine.container("traefik"), machine.container("registry")}:
            yield f"the container {name} belongs to nothing"
    listed = '{{.Name}} {{.Label "slipway.project"}}'
    # Volumes without a name belong to the container that they were made with, and go with it.
    for kind, chosen in (("network", ()), ("volume", ("--filter", "dangling=true"))):
        for name, _, project in (line.partition(" ") for line in _docker(kind, "ls", *chosen, "--format", listed)):
            if project not in projects and name not in {"bridge", "host", "none"}:
                yield f"the {kind} {name} belongs to nothing"
    routes = {path.name for path in (machine.home.traefik / "dynamic").iterdir()}
    for name in routes:
        if name not in _NO_ONES_ROUTES and not any(f".{project}." in name for project in projects):
            yield f"the route {name} belongs to nothing"
    yield from images.leftovers(machine, projects)
    yield from (f"{path} was left by a build" for path in (machine.home.path / "builder").glob(f"*/{instance}-builder-*"))


def _docker(*arguments: str) -> list[str]:
    return subprocess.run(("docker", *arguments), check=True, capture_output=True, text=True).stdout.splitlines()


def requests(loads: Sequence[Load], since: Sequence[int], excused: tuple[float, float] | None) -> list[str]:
    """Requests that failed in this run, but those sent while their container was killed."""
    failed: list[Failed] = [one for load, before in zip(loads, since, strict=True) for one in load.failed[before:]]
    counted = [one for one in failed if excused is None or not excused[0] - 20 <= one.at <= excused[1]]
    return [f"{len(counted)} requests failed: {json.dumps([f'{one.host}{one.why}' for one in counted[:3]])}"] if counted else []
