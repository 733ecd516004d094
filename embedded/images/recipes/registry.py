"""The image registry, from Debian's package docker-registry."""

from pathlib import Path

from embedded.images import packages
from embedded.images.filesystem import Tree
from embedded.images.image import Settings
from embedded.images.recipes import system

VERSIONS = ("2",)


def assemble(_version: str, work: Path) -> tuple[Tree, Settings]:
    """The registry; its configuration is an argument (`serve FILE`), its storage wherever that says."""
    tree = Tree()
    system.users(tree)
    system.debian(tree, work / "debian", [])
    package = packages.debian(work / "debian", ["docker-registry"])["docker-registry"]
    packages.unpack(tree, package, keep=("/usr/bin/docker-registry",))
    settings = Settings(env={"PATH": "/usr/bin:/bin"}, entrypoint=("/usr/bin/docker-registry",))
    return tree, settings
