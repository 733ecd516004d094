"""The background look at the target goes on, whatever a round meets: its end would be that of the process, and of every step in it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from aiodocker.exceptions import DockerError

from services.deployer.fence import Fence
from services.deployer.targets.local import reconcile
from services.deployer.targets.local.certificates import Certificates
from services.deployer.targets.local.databases import Databases
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.engine_errors import Json
from services.deployer.targets.local.examination import Examination
from services.deployer.targets.local.reconcile import Reconcile
from services.deployer.targets.local.records import DetachedVolume, Records
from services.deployer.targets.local.route_folder import RouteFolder
from services.deployer.targets.local.sweep import Sweep
from services.deployer.targets.local.workloads import Workloads
from shared.contracts.places import Place
from shared.messages import utc_now
from shared.work import Unavailable

FIRST, SECOND = (Place(organization=name, project="shop", environment="production") for name in ("first", "second"))


@dataclass
class Target:
    """Every port that a round asks, of a target with two environments in which nothing runs."""

    folder: Path
    instance: str = "i"
    listing: list[Exception] = field(default_factory=list)
    """Raised by one look each."""
    failing: dict[Place, Exception] = field(default_factory=dict)
    """Raised where the records of an environment are read."""
    detached_volumes: list[DetachedVolume] = field(default_factory=list)
    scratch: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    swept: list[Place] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def volumes(self) -> "Target":
        """Of the same target."""
        return self

    async def all(self, _labels: object, *, unused: bool) -> list[Json]:
        """Those volumes that images asked for, and that no container has."""
        assert unused
        labels = {f"slipway.{name}": value for name, value in FIRST.model_dump().items()}
        return [{"Name": name, "Labels": labels} for name in self.scratch]

    async def until_gone(self) -> None:
        """It stays."""
        await asyncio.Event().wait()

    async def remove(self, name: str) -> None:
        """One volume is in use."""
        if name == "used":
            raise DockerError(409, "volume is in use")
        self.removed.append(name)

    async def places(self) -> list[Place]:
        """Both."""
        if self.listing:
            raise self.listing.pop()
        return [FIRST, SECOND]

    def databases(self, place: Place) -> Iterator[object]:
        """None."""
        if place in self.failing:
            raise self.failing[place]
        yield from ()

    def services(self, _place: Place | None = None) -> Iterator[object]:
        """None."""
        yield from ()

    def detached(self) -> list[DetachedVolume]:
        """Volumes whose days are over."""
        return self.detached_volumes

    def forget_detached(self, _volume: DetachedVolume) -> None:
        """As told."""

    def clear_strays(self) -> list[str]:
        """None."""
        return []

    def stray_routes(self) -> list[Path]:
        """None."""
        return []

    async def outlived(self, _place: Place, _epoch: int) -> dict[str, float]:
        """None."""
        return {}

    async def clear(self, place: Place, below: int) -> list[str]:
        """Remembers where."""
        assert below == 0
        self.swept.append(place)
        return []

    def reconcile(self) -> Reconcile:
        """Over all of this."""
        return Reconcile(
            Fence(self.folder),
            cast("Engine", self),
            cast("Records", self),
            cast("Workloads", self),
            cast("Databases", self),
            cast("RouteFolder", self),
            cast("Certificates", self),
            cast("Sweep", self),
            cast("Examination", self),
        )


@pytest.mark.parametrize("error", [OSError("no space left"), DockerError(500, "out of memory"), ValueError("nobody thought of it")])
async def test_a_round_that_fails_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The target is looked at again a little later, and is not said to have been looked at before."""
    monkeypatch.setattr(reconcile, "_FAILED_S", 0.0)
    target = Target(tmp_path, listing=[error])
    looking = target.reconcile()
    running = asyncio.create_task(looking.run())
    async with asyncio.timeout(10):
        await asyncio.wait([running, waiting := asyncio.create_task(looking.looked.wait())], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not running.done()
    assert target.swept == [FIRST, SECOND]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_an_environment_that_fails_keeps_no_other_waiting(tmp_path: Path) -> None:
    """One whose records cannot be read is left for the next round; the others have their look."""
    target = Target(tmp_path, failing={FIRST: ValueError("not a record")})
    await target.reconcile().once()
    assert target.swept == [SECOND]


async def test_an_environment_that_takes_too_long_keeps_no_other_waiting(tmp_path: Path) -> None:
    """The others have their look before it is tried again."""
    target = Target(tmp_path, failing={FIRST: Unavailable("an effect took longer than 24 s")})
    with pytest.raises(Unavailable, match="longer than 24 s"):
        await target.reconcile().once()
    assert target.swept == [SECOND]


async def test_a_volume_that_cannot_be_removed_keeps_no_other(tmp_path: Path) -> None:
    """It is told of, and the next one goes."""
    long_ago = utc_now() - timedelta(days=30)
    volumes = [DetachedVolume(place=FIRST, database="main", volume=name, version="18", at=long_ago) for name in ("used", "unused")]
    target = Target(tmp_path, detached_volumes=volumes, scratch=["used", "left"])
    done = await target.reconcile().once()
    assert target.removed == ["unused", "left"]
    assert [line.split(": ")[1] for line in done] == [
        "used cannot be set right",
        f"volume unused, detached {long_ago:%Y-%m-%d}, removed",
        "used cannot be set right",
        "volume left, whose container is gone, removed",
    ]
