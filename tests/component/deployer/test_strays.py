"""What no record speaks of, while services come and go."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from services.deployer.fence import Fence
from services.deployer.targets.local.certificates import Certificates
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.examination import Examination
from services.deployer.targets.local.load_balancer import LoadBalancer
from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.records import Records, ServiceRecord
from services.deployer.targets.local.route_files import PREFIX, RouteFiles
from services.deployer.targets.local.route_folder import RouteFolder
from services.deployer.targets.local.secrets import TargetKey
from shared.contracts.places import Place

PLACE = Place(organization="main", project="shop", environment="production")


class BusyRecords(Records):
    """A service is added whenever all of them have been read."""

    def __init__(self, folder: Path, routes: Path) -> None:
        super().__init__(folder)
        self._routes = routes

    def services(self, place: Place | None = None) -> Iterator[ServiceRecord]:
        """Those that were there."""
        yield from list(super().services(place))
        self.keep_service(ServiceRecord(place=PLACE, service="new", candidate_certificate="f1"))
        (self._routes / f"{PREFIX}{route_name(PLACE, 'new')}.yml").write_text("{}")


def test_a_route_that_is_written_meanwhile_is_no_stray(tmp_path: Path) -> None:
    """It is new, and its record is; one that has been there without a record is told of."""
    routes = tmp_path / "routes"
    routes.mkdir()
    stray = routes / f"{PREFIX}{route_name(PLACE, 'gone')}.yml"
    stray.write_text("{}")
    nothing = object()
    folder = RouteFolder(routes, RouteFiles(routes, 443), cast("TargetKey", nothing))
    examination = Examination(
        Fence(tmp_path),
        cast("Engine", nothing),
        BusyRecords(tmp_path, routes),
        folder,
        cast("Certificates", nothing),
        cast("LoadBalancer", nothing),
        "i",
    )
    assert examination.stray_routes() == [stray]
    assert len(list(routes.iterdir())) == 2
