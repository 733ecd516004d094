"""A shell and a small web server: busybox and nothing else, for workers and tests."""

from pathlib import Path

from embedded.images.filesystem import Tree
from embedded.images.image import Settings
from embedded.images.recipes import system

VERSIONS = ("1",)


def assemble(_version: str, work: Path) -> tuple[Tree, Settings]:
    """Busybox with all its commands (sh, httpd, nc, wget …) and the user `app` (1000)."""
    tree = Tree()
    system.users(tree, [("app", 1000, "/home/app")])
    system.static_shell(tree, work / "debian")
    return tree, Settings(env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, command=("sh",))
