"""`slipway trust`: the local CA in this machine's trust stores, so that browsers and curl accept `https://*.localhost`."""

import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import Failed
from cli.session import command, session
from cli.stack import settings_of_platform

SYSTEM = Path("/usr/local/share/ca-certificates")


@dataclass(frozen=True)
class Store:
    """A trust store, and what became of it."""

    name: str
    done: bool
    detail: str


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "trust")(trust)


def trust(
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Take it out again.")] = False,
) -> None:
    """Have this machine trust the local CA: the system's store (Debian), and those of browsers (NSS) where certutil is there."""
    from embedded.home import Home

    home = Home.at(settings_of_platform().home)
    certificate = home.ca / "ca.pem"
    if not certificate.exists():
        raise Failed(f"There is no local CA at {certificate}.", "Start the platform once: slipway up", code="no-ca")
    name = f"slipway-{home.instance}"
    stores = [system_store(certificate, name, uninstall=uninstall), *browser_stores(certificate, name, uninstall=uninstall)]
    text = "\n".join(f"{'✓' if store.done else '·'} {store.name}: {store.detail}" for store in stores)
    session().show({"stores": [asdict(store) for store in stores]}, text)
    if not any(store.done for store in stores):
        raise Failed("No trust store was changed.", f"As root: slipway trust. Or give your browser {certificate}.", code="untrusted")


def system_store(certificate: Path, name: str, *, uninstall: bool, folder: Path = SYSTEM) -> Store:
    """Debian's store: a file in `folder`, and update-ca-certificates(8)."""
    program, copy = shutil.which("update-ca-certificates", path=f"{os.environ.get('PATH', '')}:/usr/sbin"), folder / f"{name}.crt"
    if program is None:
        return Store("system", done=False, detail="update-ca-certificates is not installed: apt-get install ca-certificates")
    try:
        if uninstall:
            copy.unlink(missing_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(certificate, copy)
            copy.chmod(0o644)
    except PermissionError:
        return Store("system", done=False, detail=f"{copy} may be written by root only")
    done = subprocess.run([program, *(["--fresh"] if uninstall else [])], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return Store("system", done=False, detail=done.stderr.strip() or "update-ca-certificates failed")
    return Store("system", done=True, detail="taken out" if uninstall else f"trusts {copy}")


def browser_stores(certificate: Path, name: str, *, uninstall: bool, user_home: Path | None = None) -> list[Store]:
    """Chromium's and Firefox's databases of this user."""
    program = shutil.which("certutil")
    if program is None:
        return [Store("browsers", done=False, detail="certutil is not installed: apt-get install libnss3-tools")]
    return [_browser_store(program, folder, certificate, name, uninstall=uninstall) for folder in _databases(user_home or Path.home())]


def _databases(user_home: Path) -> list[Path]:
    own = user_home / ".pki" / "nssdb"
    if not own.exists():
        own.mkdir(parents=True, mode=0o700)
    firefox = user_home / ".mozilla" / "firefox"
    return [own, *sorted(path.parent for path in firefox.glob("*/cert9.db"))]


def _browser_store(program: str, folder: Path, certificate: Path, name: str, *, uninstall: bool) -> Store:
    database = f"sql:{folder}"
    if not (folder / "cert9.db").exists():
        _run(program, "-N", "-d", database, "--empty-password")
    _run(program, "-D", "-n", name, "-d", database)  # a second one of a name would be refused
    if uninstall:
        return Store(str(folder), done=True, detail="taken out")
    failure = _run(program, "-A", "-n", name, "-t", "C,,", "-i", str(certificate), "-d", database)
    return Store(str(folder), done=not failure, detail=failure or "trusts it")


def _run(*words: str) -> str:
    """What went wrong, empty where nothing did."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"{words[0]} failed"
