"""What is left of undone steps is taken away, whatever the engine shows of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.engine_errors import Json
from services.deployer.targets.local.naming import place_labels
from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.records import Records, ServiceRecord
from services.deployer.targets.local.sweep import Sweep
from shared.contracts.places import Place
from tests.unit.deployer.places import placed

PLACE = Place(organization="main", project="shop", environment="production")


@dataclass
class Target:
    """An engine with some containers and nothing else."""

    containers: list[Json]
    removed: list[str] = field(default_factory=list)

    async def summaries(self, _labels: Mapping[str, str]) -> list[Json]:
        """All of them."""
        return self.containers

    @property
    def volumes(self) -> "Target":
        """Of the same engine."""
        return self

    async def all(self, _labels: Mapping[str, str]) -> list[Json]:
        """No volume."""
        return []

    async def remove(self, name: str) -> bool:
        """As told."""
        self.removed.append(name)
        return True

    async def remove_unused(self, _place: Place) -> bool:
        """It stays."""
        return False


async def test_a_dead_container_has_no_name(tmp_path: Path) -> None:
    """One whose removal failed half-way is removed by its id, and does not keep the others."""
    carried = place_labels("i", PLACE) | {"slipway.role": "application", "slipway.step": "d-deploy-container-web", "slipway.epoch": "1"}
    target = Target(
        [
            {"Id": "0a1b", "Names": [], "Labels": carried, "State": "dead"},
            {"Id": "2c3d", "Names": ["/i-web"], "Labels": carried, "State": "exited"},
        ]
    )
    records = Records(tmp_path)
    records.mark_undone(PLACE, "d-deploy-container-web")
    assert await Sweep(cast("Engine", target), cast("Networks", target), records, "i").clear(PLACE) == ["0a1b", "i-web"]
    assert target.removed == ["0a1b", "i-web"]


async def test_what_drains_is_neither_swept_nor_left_over(tmp_path: Path) -> None:
    """It answers what it was asked. What no record speaks of is left over, by its id: one of the same name may be another's by then."""
    carried = place_labels("i", PLACE) | {"slipway.role": "application", "slipway.epoch": "1", "slipway.grace": "2.5"}
    draining = placed("k", "d")
    target = Target(
        [
            {"Id": "0a1b", "Names": [f"/{draining.container}"], "Labels": carried, "State": "running"},
            {"Id": "2c3d", "Names": ["/i-web"], "Labels": carried, "State": "running"},
        ]
    )
    records = Records(tmp_path)
    records.keep_service(ServiceRecord(place=PLACE, service="web", draining=draining))
    sweep = Sweep(cast("Engine", target), cast("Networks", target), records, "i")
    assert (await sweep.outlived(PLACE, 2), await sweep.outlived(PLACE, 3)) == ({}, {"2c3d": 2.5})
    assert await sweep.clear(PLACE, below=3) == ["i-web"]
