"""`slipway trust` with the real programs of Debian and NSS."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.trust import SYSTEM, browser_stores, system_store
from embedded import authority
from embedded.home import Home


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A local CA as `slipway up` makes it."""
    home = Home.at(tmp_path / "home")
    home.prepare()
    authority.prepare(home, ())
    return home.ca / "ca.pem"


@pytest.fixture
def name() -> Iterator[str]:
    """A name of the test's own; whatever it leaves in the system's store is taken out."""
    own = f"slipway-test-{secrets.token_hex(4)}"
    yield own
    left = SYSTEM / f"{own}.crt"
    if left.exists():
        left.unlink()
        subprocess.run(["update-ca-certificates", "--fresh"], capture_output=True, check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="the system's store is root's")
def test_the_system_trusts_it_and_forgets_it_again(certificate: Path, name: str) -> None:
    """Openssl accepts it afterwards, and no more after it was taken out; both may be repeated."""
    for _ in range(2):
        assert system_store(certificate, name, uninstall=False).done
    copy = SYSTEM / f"{name}.crt"
    assert copy.read_bytes() == certificate.read_bytes()
    linked = [path for path in Path("/etc/ssl/certs").iterdir() if path.is_symlink() and path.resolve() == copy]
    assert linked
    for _ in range(2):
        assert system_store(certificate, name, uninstall=True).done
    assert not copy.exists()
    assert not [path for path in Path("/etc/ssl/certs").iterdir() if path.name.startswith(name)]


def test_browsers_trust_it_and_forget_it_again(certificate: Path, name: str, tmp_path: Path) -> None:
    """Chromium's database is made where there is none; a Firefox profile is found; both say so of themselves."""
    if shutil.which("certutil") is None:
        (store,) = browser_stores(certificate, name, uninstall=False, user_home=tmp_path)
        assert "libnss3-tools" in store.detail
        return
    profile = tmp_path / ".mozilla" / "firefox" / "x.default"
    profile.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", f"sql:{profile}", "--empty-password"], check=True)
    for _ in range(2):
        stores = browser_stores(certificate, name, uninstall=False, user_home=tmp_path)
        assert [store.done for store in stores] == [True, True]
    for folder in (tmp_path / ".pki" / "nssdb", profile):
        listed = subprocess.run(["certutil", "-L", "-d", f"sql:{folder}"], capture_output=True, text=True, check=True).stdout
        assert f"{name} " in listed
        assert "C,," in listed
    browser_stores(certificate, name, uninstall=True, user_home=tmp_path)
    listed = subprocess.run(["certutil", "-L", "-d", f"sql:{profile}"], capture_output=True, text=True, check=True).stdout
    assert name not in listed
