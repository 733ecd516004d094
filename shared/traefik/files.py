"""Puts configurations and certificates where Traefik reads them: whole, durably, readable for its group only.

Both lie in one folder, `dynamic` and `certificates`, which is the one that Traefik works in: files name certificates relative to it,
so that it may see them under another path than this machine does.
"""

import hashlib
import os
import re
from pathlib import Path

from shared.traefik.models import Certificate, DynamicConfiguration

_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


def place(folder: Path, name: str, configuration: DynamicConfiguration) -> Path:
    """Write `<name>.yml` into the file provider's folder, atomically and durably; the path is returned.

    Traefik sees the old content or the new one, never a part. The new one is made beside the folder, which must
    be of the same file system: a file made in it would wake Traefik too early, and it would take the renamed one
    only after its throttle (50 ms later). Two writers of one name must be kept apart by the caller.
    """
    path = file_path(folder, name)
    text = configuration.render()
    beside = folder.parent / f"{folder.name}.{path.name}.tmp"
    _write(beside, text)
    beside.replace(path)
    return path


def place_certificate(folder: Path, chain: str, key: str) -> Certificate:
    """Keep a PEM chain and its key in Traefik's folder of certificates, named by their content.

    Equal content gives the same files, so this is safe to repeat; a renewed certificate has new names,
    and the dynamic file that names it changes too, which is what makes Traefik load it.
    """
    name = hashlib.sha256(f"{chain}\n{key}".encode()).hexdigest()[:32]
    for path, text in ((folder / f"{name}.key", key), (folder / f"{name}.pem", chain)):
        beside = path.with_name(path.name + ".tmp")
        _write(beside, text)
        beside.replace(path)
    return certificate_files(folder, name)


def certificate_files(folder: Path, name: str) -> Certificate:
    """What a dynamic file says of a certificate of that name in Traefik's folder of certificates."""
    return Certificate(cert_file=f"{folder.name}/{name}.pem", key_file=f"{folder.name}/{name}.key")


def _write(path: Path, text: str) -> None:
    """Readable for the group, which is Traefik's: its folders hand their group on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def file_path(folder: Path, name: str) -> Path:
    """Where `place` puts the file of that name. Raises ValueError for a name that is no plain file name."""
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"not a plain file name: {name!r}")
    return folder / f"{name}.yml"
