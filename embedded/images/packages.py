"""Fetches packages through their ordinary clients: apt-get for Debian's, pip for wheels."""

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from embedded.images.filesystem import Tree

# apt-get drops its rights to a user who may not write into the folder of the download.
_APT = ("apt-get", "-q", "-o", "APT::Sandbox::User=root")


class PackageUnavailableError(Exception):
    """A package that an image is made of cannot be had on this machine; the message says what to do."""


def debian(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Download Debian packages (nothing is installed) into `folder`; name → the .deb.

    The package lists are refreshed once where apt knows no such package or an outdated one.
    """
    wanted = sorted(set(names))
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PackageUnavailableError(
            "this image is assembled from Debian packages and apt-get is not on this machine: "
            "use a machine with Debian, or name an image of a public registry instead"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if _run((*_APT, "download", *wanted), folder).returncode != 0:
        _run((*_APT, "update"), folder)
        failed = _run((*_APT, "download", *wanted), folder)
        if failed.returncode != 0:
            reason = failed.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise PackageUnavailableError(f"apt-get download {' '.join(wanted)}: {reason[0]}")
    return {name: min(folder.glob(f"{name}_*.deb")) for name in wanted}


def unpack(tree: Tree, package: Path, *, keep: Iterable[str], skip: Iterable[str] = ()) -> None:
    """Add the files of a Debian package whose path starts with one of `keep` and holds none of `skip`."""
    content = subprocess.run(("dpkg-deb", "--fsys-tarfile", str(package)), check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        tree.extract(archive, keep=keep, skip=skip)


def wheel(folder: Path, name: str, version: str, hashes: Iterable[str]) -> Path:
    """Download a wheel for this machine and unpack it into `folder`, whose SHA-256 must be one of `hashes`.

    Nothing is installed into the Python that runs this.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{name}=={version} " + " ".join(f"--hash=sha256:{digest}" for digest in hashes))
    target = folder / name
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(target))
    done = _run((*_installer(), *options, "--requirement", str(requirements)), folder)
    if done.returncode != 0:
        raise PackageUnavailableError(f"{name} {version} cannot be downloaded: {done.stderr.strip()[-500:]}")
    return target


def _installer() -> tuple[str, ...]:
    """Pip of this environment, or uv where it was made without pip."""
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", "--root-user-action=ignore")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise PackageUnavailableError("neither pip nor uv is there to download a wheel with: python -m ensurepip")
    return (uv, "pip", "install", "--python", sys.executable)


def _run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
