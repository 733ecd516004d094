"""What stands on the target, object by object and by name, against what shall stand there."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psutil

from cli.answers import Json
from cli.failures import Failed as Refused
from services.coordinator.snapshot import Record
from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.route_files import PREFIX
from services.deployer.targets.local.state import TargetState
from services.deployer.targets.local.target import local_target
from shared.contracts.places import Place
from tests.faults.strikes import books, images
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.stream import Lane

_NO_ONES_ROUTES = {"platform.yml", "default-certificate.yml"}
_NO_ONES_NETWORKS = {"bridge", "host", "none"}


def examine(machine: Machine, lanes: Sequence[Lane]) -> Iterator[str]:
    """Whatever is not as it shall be."""
    deployments = books.read(machine).deployments
    states = {lane.place: _describe(machine, lane.place) for lane in lanes}
    for lane in lanes:
        record = books.record(machine, lane.place)
        wrong = (*not_the_newest(record, deployments, lane.versions), *environment(lane.place, record, states[lane.place]))
        yield from (f"{lane.place}: {sentence}" for sentence in (*wrong, *_seen_from_outside(lane, record, states[lane.place])))
    yield from _orphans(machine, lanes, list(states.values()))
    yield from _doctor(machine, len(lanes))


def _doctor(machine: Machine, environments: int) -> Iterator[str]:
    """What the platform itself finds, which compares target and record in its own way: neither has to be believed alone."""
    with closing(machine.api()) as api:
        try:
            found = api.get("/targets/local/examination")
        except Refused as refused:
            yield f"slipway doctor: {refused.message}"
        else:
            yield from doubts(found, environments)


def doubts(found: Json, environments: int) -> Iterator[str]:
    """What is not good in an examination of so many environments, in which no deployment is under way."""
    yield from (f"slipway doctor: {each['kind']} {each['name']} {each['what']}" for each in found["differences"])
    yield from (f"slipway doctor: {held['deployment']} is {held['state']}" for held in found["held"])
    if found["places"] != environments:
        yield f"slipway doctor: {found['places']} environments were looked at, not {environments}"


def _describe(machine: Machine, place: Place) -> TargetState:
    async def look() -> TargetState:
        async with local_target(machine.target) as target:
            return await target.state.describe(place)

    return asyncio.run(look())


def not_the_newest(record: Record, deployments: Iterable[books.Deployment], versions: Mapping[str, str]) -> Iterator[str]:
    """A record that is not of the newest commit whose deployment succeeded."""
    succeeded = [one.commit for one in deployments if one.state == "succeeded" and one.commit in versions]
    newest = max(succeeded, key=lambda commit: int(versions[str(commit)]), default=None)
    recorded = {release.commit for release in record.releases.values()} or {None}
    if recorded != {newest}:
        names = sorted(versions.get(str(commit), f"{commit}") for commit in recorded)
        yield f"version {versions.get(str(newest))} is the newest that succeeded, and {', '.join(names)} is recorded"


def environment(place: Place, record: Record, state: TargetState) -> Iterator[str]:
    """What an environment runs, against the record of what it shall run."""
    yield from _services(record, state)
    yield from _databases(record, state)
    yield from _ways(place, record, state)


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
        wanted = {"release": release.id, "image": release.container.image, "nano_cpus": int(release.container.resources.cpu * 1e9)}
        yield from _made(name, container, wanted | _as_any(release.container.resources.memory_bytes, state))


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
            continue
        yield from _made(name, container, _as_any(spec.memory_bytes, state))


def _as_any(memory_bytes: int, state: TargetState) -> dict[str, object]:
    """What a container has whatever it runs: its memory, its start with the engine, and the very network of its environment."""
    networks = [network["id"] for network in state.networks.values()]
    return {"memory_bytes": memory_bytes, "restart_policy": "unless-stopped", "networks": networks}


def _made(name: str, container: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[str]:
    attached = container["networks"]
    assert isinstance(attached, dict)
    found = {**container, "networks": [part["network_id"] for part in attached.values()]}
    yield from (f"{name}: {key} is {found[key]}, {value} shall be" for key, value in wanted.items() if found[key] != value)


def _ways(place: Place, record: Record, state: TargetState) -> Iterator[str]:
    """Containers, routes, names, volumes and the network: no more and no fewer than the record needs."""
    lives = {str(live["container"]) for service in state.services.values() if isinstance(live := service["live"], dict)}
    expected = lives | {str(database["container"]) for database in state.databases.values()}
    yield from (f"the container {name} is left ({state.containers[name]['command']})" for name in set(state.containers) - expected)
    hosts = {host: name for name, release in record.releases.items() for host in release.hosts}
    if dict(state.domains) != hosts:
        yield f"names {dict(state.domains)} are claimed, {hosts} shall be"
    routes = {f"{PREFIX}{route_name(place, name)}.yml" for name, release in record.releases.items() if release.hosts}
    if set(state.routes) != routes:
        yield f"routes {sorted(state.routes)} are there, {sorted(routes)} shall be"
    volumes = {str(database["volume"]) for database in state.databases.values()}
    if set(state.volumes) != volumes:
        yield f"volumes {sorted(state.volumes)} are there, {sorted(volumes)} shall be"
    if bool(state.networks) != bool(record.releases):
        yield f"networks {sorted(state.networks)}"


def _seen_from_outside(lane: Lane, record: Record, state: TargetState) -> Iterator[str]:
    """What people see of it: the version that answers, and their rows."""
    for release in record.releases.values():
        version, answered = lane.versions.get(release.commit or "", "?"), _answered(lane)
        if answered != version:
            yield f"version {version} shall run, and {answered} answers"
    if lane.rows:
        missing = lane.load.acknowledged - _rows(state)
        if missing:
            yield f"{len(missing)} of {len(lane.load.acknowledged)} acknowledged rows are missing"


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


def _orphans(machine: Machine, lanes: Sequence[Lane], states: Sequence[TargetState]) -> Iterator[str]:
    """What is on the engine, in the load balancer and in the builder's folders, and belongs to no environment, whatever labels it bears."""
    found = {
        "container": _docker("ps", "--all", "--format", "{{.Names}}"),
        "network": _docker("network", "ls", "--format", "{{.Name}}"),
        # Those in use go with their containers; volumes without a name as well.
        "volume": _docker("volume", "ls", "--filter", "dangling=true", "--format", "{{.Name}}"),
        "route": [path.name for path in (machine.home.traefik / "dynamic").iterdir()],
    }
    expected = {
        "container": {name for state in states for name in state.containers}
        | {machine.container("traefik"), machine.container("registry")},
        "network": {name for state in states for name in state.networks} | _NO_ONES_NETWORKS,
        "volume": {name for state in states for name in (*state.volumes, *state.detached)},
        "route": {name for state in states for name in state.routes} | _NO_ONES_ROUTES,
    }
    yield from strays(found, expected)
    yield from (f"{address} is the address of two network namespaces" for address, count in Counter(addresses()).items() if count > 1)
    yield from images.leftovers(machine, {lane.place.project for lane in lanes})
    yield from (f"{path} was left by a build" for path in (machine.home.path / "builder").glob(f"*/{machine.home.instance}-builder-*"))


def addresses() -> Iterator[str]:
    """Those that the kernel answers for, whether or not anything still runs there."""
    mounted = [mount.mountpoint for mount in psutil.disk_partitions(all=True) if mount.fstype == "nsfs" and Path(mount.mountpoint).exists()]
    for point in {Path(point).stat().st_ino: point for point in mounted}.values():
        command = ("nsenter", f"--net={point}", "ip", "-json", "-4", "address", "show", "up")
        shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        yield from (part["local"] for link in shown for part in link.get("addr_info", ()) if link["ifname"] != "lo")


def strays(found: Mapping[str, Iterable[str]], expected: Mapping[str, set[str]]) -> Iterator[str]:
    """What of each kind is there and is nobody's."""
    yield from (f"the {kind} {name} belongs to nothing" for kind, names in found.items() for name in names if name not in expected[kind])


def _docker(*arguments: str) -> list[str]:
    return subprocess.run(("docker", *arguments), check=True, capture_output=True, text=True).stdout.splitlines()
