"""Losses that the checks after a strike tell."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from services.coordinator.snapshot import Record
from services.deployer.targets.local.state import TargetState
from shared.contracts.manifest import Resources
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, DatabaseSpec, Release
from tests.faults.strikes import targets
from tests.faults.strikes.books import Deployment
from tests.faults.strikes.checks import not_cancelled, unproven
from tests.faults.strikes.stream import Lane, Sent, settling
from tests.faults.strikes.targets import doubts, environment, not_the_newest, strays

PLACE = Place(organization="main", project="shop", environment="production")
VERSIONS = {"a" * 40: "9", "b" * 40: "10"}
IMAGE = "127.0.0.1:5000/main/shop/web@sha256:1"
MEMORY = 64 * 1024**2
CONTAINER = {
    "running": True,
    "release": "r10",
    "image": IMAGE,
    "restart_policy": "unless-stopped",
    "command": ["serve"],
    "memory_bytes": MEMORY,
    "nano_cpus": 10**9,
    "networks": {"net": {"network_id": "n1"}},
}
DATABASE = DatabaseSpec(name="db", engine="postgresql", version="18", storage_bytes=1, memory_bytes=MEMORY)
RECORD = Record(
    releases={
        "web": Release(
            id="r10",
            key="k",
            service="web",
            number=1,
            deployment="d",
            commit="b" * 40,
            hosts=("web.test",),
            container=ContainerSpec(image=IMAGE, resources=Resources(memory_bytes=MEMORY)),
        )
    },
    databases={"db": DATABASE},
)
STATE = TargetState(
    containers={"live": CONTAINER, "db": CONTAINER},
    services={"web": {"live": {"release": "r10", "container": "live"}, "former": None, "candidate": None}},
    routes={"service.main.shop.production.web.yml": ""},
    networks={"net": {"id": "n1"}},
    databases={"db": {"spec": DATABASE.model_dump(mode="json"), "container": "db", "volume": "rows"}},
    volumes=("rows",),
    domains={"web.test": "web"},
    certificates={},
    detached=(),
)


def deployment(commit: str, state: str) -> Deployment:
    """As the coordinator's row says it."""
    return Deployment("d", state, holds=False, commit=commit * 40, project="shop")


def lane(*, rows: bool) -> Lane:
    """With 50 answered requests and one row."""
    load = SimpleNamespace(requests=52, failed=[1, 2], acknowledged={"r1"})
    return cast("Lane", SimpleNamespace(place=PLACE, load=load, rows=rows, answered=0, kept=0))


@pytest.mark.parametrize(
    ("state", "cancel", "told"),
    [
        ("succeeded", "taken", True),
        ("rolled_back", "taken", True),
        ("cancelled", "taken", False),
        ("succeeded", "refused", False),
        ("succeeded", "", False),
        ("running", "taken", False),
    ],
)
def test_a_cancel_that_was_taken_is_done_or_refused(state: str, cancel: str, told: bool) -> None:
    """One that the platform did not take may be sent again, and one that has not ended is endless, not lost."""
    sent = Sent(lane(rows=False), "b" * 40, "cancelled", frozenset({"cancelled", "succeeded"}), state=state, cancel=cancel)
    assert bool(list(not_cancelled([sent], {"refused"}))) is told


def test_an_empty_record_is_told_where_something_succeeded() -> None:
    """Nothing else compares with what is not there."""
    record = Record()
    assert list(not_the_newest(record, [deployment("b", "succeeded")], VERSIONS))
    assert not list(not_the_newest(record, [deployment("b", "failed")], VERSIONS))


def test_a_record_is_of_the_newest_commit_that_succeeded() -> None:
    """By the number of the version; what failed or is of another lane does not count."""
    both = [deployment("a", "succeeded"), deployment("b", "succeeded")]
    assert not list(not_the_newest(RECORD, [*both, deployment("c", "succeeded")], VERSIONS))
    (told,) = not_the_newest(RECORD, [both[0], deployment("b", "rolled_back")], VERSIONS)
    assert told == "version 9 is the newest that succeeded, and 10 is recorded"


def test_what_stands_is_compared_by_name() -> None:
    """One for one, a volume or a route of another name is not what shall be there."""
    assert not list(environment(PLACE, RECORD, STATE))
    assert list(environment(PLACE, RECORD, replace(STATE, volumes=("other",)))) == ["volumes ['other'] are there, ['rows'] shall be"]
    assert list(environment(PLACE, RECORD, replace(STATE, volumes=("other", "rows"))))
    assert list(environment(PLACE, RECORD, replace(STATE, routes={"service.main.shop.production.aside.yml": ""})))
    assert list(environment(PLACE, RECORD, replace(STATE, networks={})))


@pytest.mark.parametrize("name", ["live", "db"])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"memory_bytes": 2 * MEMORY}, f"memory_bytes is {2 * MEMORY}, {MEMORY} shall be"),
        ({"restart_policy": "no"}, "restart_policy is no, unless-stopped shall be"),
        ({"networks": {}}, "networks is [], ['n1'] shall be"),
        ({"networks": {"net": {"network_id": "gone"}}}, "networks is ['gone'], ['n1'] shall be"),
    ],
    ids=["memory", "restart", "no network", "a network that is gone"],
)
def test_a_container_is_as_it_was_ordered(name: str, changed: dict[str, object], told: str) -> None:
    """Its limits, whether it starts with the engine, and the very network that it is on: of services and of databases."""
    state = replace(STATE, containers={**STATE.containers, name: CONTAINER | changed})
    assert [sentence.partition(": ")[2] for sentence in environment(PLACE, RECORD, state)] == [told]


def test_what_the_doctor_finds_is_wrong() -> None:
    """Every difference, and a deployment that holds an environment after all have ended."""
    difference = {"place": None, "kind": "route", "name": "x.yml", "what": "is in no record"}
    held = {"place": None, "deployment": "d1", "state": "stuck"}
    assert list(doubts({"places": 4, "differences": [], "held": []}, 4)) == []
    assert list(doubts({"places": 3, "differences": [difference], "held": [held]}, 4)) == [
        "slipway doctor: route x.yml is in no record",
        "slipway doctor: d1 is stuck",
        "slipway doctor: 3 environments were looked at, not 4",
    ]


def test_whatever_no_environment_has_by_name_is_told() -> None:
    """Its labels do not make it anybody's."""
    found = {"network": ["net", "orphan"], "volume": ["rows"]}
    assert list(strays(found, {"network": {"net"}, "volume": {"rows"}})) == ["the network orphan belongs to nothing"]


def test_a_network_namespace_out_of_sight_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine outside of the machine has its own: their mounts are still listed where an empty folder covers them."""
    covered = SimpleNamespace(fstype="nsfs", mountpoint="/nowhere/netns/1")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [covered])
    assert not list(targets.addresses())


def test_a_run_without_requests_or_rows_proves_nothing() -> None:
    """What counts was added since the last look."""
    seen = lane(rows=True)
    assert not list(unproven(seen))
    seen.answered, seen.kept = 50, 1
    assert list(unproven(seen)) == [f"{PLACE}: no request was answered", f"{PLACE}: no row was acknowledged"]


def test_what_was_kept_leads_to_a_change_where_nothing_newer_came() -> None:
    """The platform could not record a push and found the branch later: at this commit, or at the one that was pushed since."""
    place, other = lane(rows=False), lane(rows=False)
    kept, newer = Sent(place, "a" * 40, "superseded", frozenset(), kept=True), Sent(place, "b" * 40, "superseding", frozenset())
    alone, recorded = Sent(other, "c" * 40, "good", frozenset(), kept=True), Sent(place, "d" * 40, "superseded", frozenset())
    assert settling([kept, alone, newer]) == [alone, newer]
    assert settling([recorded, alone, newer]) == [recorded, alone, newer]
    assert settling([newer, kept]) == [newer, kept]
