"""Certificates of services: which ones are good, and when they are made anew. No service has to be deployed for that."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from embedded import authority
from embedded.home import Home
from services.deployer.targets.local import certificates
from services.deployer.targets.local.certificates import Certificates, LocalAuthority
from services.deployer.targets.local.records import Placed, Records, ServiceRecord
from services.deployer.targets.local.route_files import RouteFiles
from services.deployer.targets.local.route_folder import RouteFolder
from services.deployer.targets.local.secrets import TargetKey
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, Release

PLACE = Place(organization="main", project="shop", environment="production")
RELEASE = Release(
    id="r1", key="k1", service="web", number=1, deployment="d1", container=ContainerSpec(image="x"), port=80, hosts=("shop.localhost",)
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """With an authority."""
    made = Home.at(tmp_path / "home")
    made.prepare()
    authority.prepare(made, ())
    return made


@pytest.fixture
def of_services(home: Home, tmp_path: Path) -> Certificates:
    """Of one service, without a certificate."""
    (folder := tmp_path / "certificates").mkdir()
    (routes := tmp_path / "routes").mkdir()
    records = Records(tmp_path / "target")
    live = Placed(release=RELEASE, container="c", deployment="d1")
    records.keep_service(ServiceRecord(place=PLACE, service="web", live=live, certificate="0" * 32))
    key = TargetKey(home.keys / "target.key")
    return Certificates(folder, LocalAuthority(home.ca), records, RouteFolder(routes, RouteFiles(folder, 8443), key))


def renewed(of_services: Certificates) -> bool:
    """What reconcile does every ten minutes, whatever is deployed meanwhile."""
    return of_services.renew(of_services.records.service(PLACE, "web"))


def lacks(of_services: Certificates) -> str | None:
    """What doctor says."""
    return of_services.lacks(of_services.records.service(PLACE, "web"))


@pytest.mark.parametrize(("days", "good"), [(31, True), (29, False)])
def test_one_that_ends_within_a_month_is_told_of_and_renewed(
    of_services: Certificates, monkeypatch: pytest.MonkeyPatch, days: int, good: bool
) -> None:
    """One that lasts longer stays as it is."""
    with monkeypatch.context() as patched:
        patched.setattr(certificates, "_VALID", dt.timedelta(days=days))
        assert renewed(of_services)
    assert (lacks(of_services) is None) == good
    assert renewed(of_services) != good
    assert lacks(of_services) is None


def test_one_of_an_authority_that_was_lost_is_told_of_and_renewed(of_services: Certificates, home: Home) -> None:
    """The new authority has the same name and another key: who trusts it believes nothing of the former one's."""
    assert renewed(of_services)
    for path in home.ca.glob("ca.*"):
        path.unlink()
    authority.prepare(home, ())
    assert "is of another authority" in (lacks(of_services) or "")
    assert renewed(of_services)
    (path,) = of_services.folder.glob("*.pem")
    root = x509.load_pem_x509_certificate(of_services.authority.certificate.read_bytes())
    x509.load_pem_x509_certificate(path.read_bytes()).verify_directly_issued_by(root)
