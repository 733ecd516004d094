"""Keys and certificates: made once, kept, renewed in time."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from nacl.public import PrivateKey

from embedded import authority
from embedded.home import Home
from services.deployer.targets.local.certificates import LocalAuthority


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A prepared home with all keys."""
    made = Home.at(tmp_path / "home")
    made.prepare()
    authority.prepare(made, ("api", "auth"))
    return made


def contents(home: Home) -> dict[str, bytes]:
    """All key and certificate files."""
    folders = (home.keys, home.tls, home.ca)
    return {str(path): path.read_bytes() for folder in folders for path in folder.iterdir()}


def test_a_second_preparation_changes_nothing(home: Home) -> None:
    """What people trust and what seals secrets stays the same."""
    before = contents(home)
    authority.prepare(home, ("api", "auth"))
    assert contents(home) == before


def test_each_service_has_a_certificate_of_the_control_planes_authority(home: Home) -> None:
    """It is signed by the CA, serves as server and client, and holds the name that callers expect."""
    ca = x509.load_pem_x509_certificate((home.tls / "ca.pem").read_bytes())
    issued = x509.load_pem_x509_certificate((home.tls / "api.pem").read_bytes())
    issued.verify_directly_issued_by(ca)
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "slipway.internal" in names.get_values_for_type(x509.DNSName)
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert len(list(usages)) == 2


def test_a_machine_whose_clock_is_behind_accepts_them(home: Home) -> None:
    """Every certificate is good already for whoever thinks that it is yesterday: also those that the target issues to applications."""
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(hours=12)
    application, _ = LocalAuthority(home.ca).issue(("web.localhost",))
    for made in (*(path.read_bytes() for folder in (home.tls, home.ca) for path in folder.glob("*.pem")), application):
        assert x509.load_pem_x509_certificate(made).not_valid_before_utc < yesterday


def test_the_two_authorities_are_apart(home: Home) -> None:
    """Who trusts applications' certificates does not trust the control plane's, and the other way round."""
    control_plane = x509.load_pem_x509_certificate((home.tls / "ca.pem").read_bytes())
    local = x509.load_pem_x509_certificate((home.ca / "ca.pem").read_bytes())
    assert control_plane.public_key() != local.public_key()
    assert home.instance in local.subject.rfc4514_string()


def test_keys_are_private_and_of_their_size(home: Home) -> None:
    """32 bytes each, readable for the owner only; the public half fits the target's key."""
    for name in ("master.key", "target.key", "clone.key"):
        path = home.keys / name
        assert len(path.read_bytes()) == 32
        assert path.stat().st_mode & 0o777 == 0o600
    target = PrivateKey((home.keys / "target.key").read_bytes())
    assert (home.keys / "target.pub").read_bytes() == bytes(target.public_key)


def test_a_certificate_near_its_end_is_renewed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less than 60 days left the next start makes a new one."""
    before = (home.tls / "api.pem").read_bytes()
    monkeypatch.setattr(authority, "_RENEW_BEFORE", dt.timedelta(days=366))
    authority.prepare(home, ("api",))
    assert (home.tls / "api.pem").read_bytes() != before


def test_certificates_of_an_authority_that_was_lost_are_made_again(home: Home) -> None:
    """The new one has the same name and another key."""
    for folder in (home.tls, home.ca):
        for path in folder.glob("ca.*"):
            path.unlink()
    authority.prepare(home, ("api", "auth"))
    for folder, names in ((home.tls, ("api", "auth")), (home.ca, ("default",))):
        ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        for name in names:
            x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).verify_directly_issued_by(ca)


def test_a_certificate_whose_key_is_another_is_made_again(home: Home) -> None:
    """A pair that does not fit together would fail at the first call."""
    (home.tls / "api.key").write_bytes((home.tls / "auth.key").read_bytes())
    authority.prepare(home, ("api",))
    key = serialization.load_pem_private_key((home.tls / "api.key").read_bytes(), password=None)
    assert x509.load_pem_x509_certificate((home.tls / "api.pem").read_bytes()).public_key() == key.public_key()


def test_a_public_half_of_another_key_is_written_anew(home: Home) -> None:
    """A target's key that was put back from a backup: what is sealed to the other half nobody could open."""
    (home.keys / "target.key").write_bytes(bytes(PrivateKey.generate()))
    authority.prepare(home, ())
    target = PrivateKey((home.keys / "target.key").read_bytes())
    assert (home.keys / "target.pub").read_bytes() == bytes(target.public_key)


@pytest.mark.parametrize("database", ["postgres/PG_VERSION", "keys/postgres.json"])
@pytest.mark.parametrize("name", ["master.key", "target.key"])
def test_a_key_that_is_lost_beside_a_database_is_not_replaced(home: Home, database: str, name: str) -> None:
    """What is stored is sealed with it, also in a database of somebody else's, whose passwords are in the home."""
    (home.keys / name).unlink()
    (home.path / database).parent.mkdir(exist_ok=True)
    (home.path / database).touch()
    authority.prepare(home, ())
    assert home.lost_keys == (home.keys / name,)
    (home.path / database).unlink()
    authority.prepare(home, ())
    assert (home.keys / name).exists()
