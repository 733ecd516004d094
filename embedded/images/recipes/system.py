"""The small Debian under the other images: C library, busybox, users, certificates."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from embedded.images import packages
from embedded.images.filesystem import Tree

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_ADDED = Path("/usr/local/share/ca-certificates")
_NAMES = "hosts: files dns\n"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def machine_certificates() -> bytes:
    """The certificate authorities that this machine trusts: what is built here trusts the same ones.

    Not those that `slipway trust` has added: base images would become others with each of them, and all that is built on them.
    """
    bundle = Path(os.environ.get("SSL_CERT_FILE", CERTIFICATES))
    if not bundle.is_file():
        raise packages.PackageUnavailableError(f"{bundle} is not there: apt-get install ca-certificates")
    return authorities(bundle.read_bytes(), (path.read_bytes() for path in _ADDED.glob("slipway-*.crt")))


def authorities(bundle: bytes, but: Iterable[bytes]) -> bytes:
    """The certificates (PEM) of a bundle in an order that does not depend on how it was put together, without those in `but`."""
    left_out = {found for one in but for found in _PEM.findall(one)}
    return b"".join(certificate + b"\n" for certificate in sorted(set(_PEM.findall(bundle)) - left_out))


def users(tree: Tree, others: Iterable[tuple[str, int, str]] = ()) -> None:
    """Write `/etc/passwd` and `/etc/group` with root, nobody and `others` (name, id, home folder)."""
    known = [("root", 0, "/root"), ("nobody", 65534, "/nonexistent"), *others]
    tree.file(
        "/etc/passwd",
        "".join(f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n" for name, uid, home in known),
    )
    tree.file("/etc/group", "".join(f"{name}:x:{uid}:\n" for name, uid, _ in known))
    tree.directory("/root", 0o700)
    tree.directory("/tmp", 0o1777)  # noqa: S108 - of the image
    for _, uid, home in others:
        tree.directory(home, 0o755, uid)
    tree.file("/etc/nsswitch.conf", _NAMES)


def static_shell(tree: Tree, downloads: Path) -> None:
    """Add busybox without any library: a shell and about 270 commands in 2 MB."""
    _busybox(tree, packages.debian(downloads, ["busybox-static"])["busybox-static"])


def debian(tree: Tree, downloads: Path, libraries: Iterable[str]) -> None:
    """Add the C library, busybox linked to it (so that names resolve), and more library packages."""
    found = packages.debian(downloads, ["libc6", "busybox", *libraries])
    for name, package in found.items():
        if name == "busybox":
            _busybox(tree, package)
        else:
            packages.unpack(tree, package, keep=("/lib", "/usr/lib"))
    tree.file(CERTIFICATES, machine_certificates())


def _busybox(tree: Tree, package: Path) -> None:
    packages.unpack(tree, package, keep=("/bin/busybox",))
    program = package.with_suffix(".busybox")
    program.write_bytes(tree.read("/bin/busybox"))
    program.chmod(0o755)
    listed = subprocess.run((str(program), "--list-full"), check=True, capture_output=True, text=True).stdout
    for path in listed.split():
        if path != "bin/busybox":
            tree.link(
                f"/{path}" if path.startswith(("usr/", "bin/", "sbin/")) else f"/bin/{path}",
                "/bin/busybox",
            )
