"""The base images of the applications, in a registry that lives as long as the tests need it."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.images.provision import ensure
from tests.apps.engine import forget_pulled

_START_LIMIT_S = 10.0


@dataclass(frozen=True)
class Bases:
    """References that a Dockerfile's FROM can name."""

    registry: str
    shell: str
    postgres: str


@contextmanager
def local_registry(folder: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of this machine, with its images below `folder`; host:port.

    At the end the engine forgets what was pulled from it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = folder / "registry.yml"
    configuration.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: {address}}}\n"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(("docker-registry", "serve", str(configuration)), stdout=log, stderr=log)
    try:
        _await(address, process, folder / "registry.log")
        yield address
    finally:
        forget_pulled(address)
        process.terminate()
        process.wait(10)


@contextmanager
def bases(folder: Path) -> Iterator[Bases]:
    """A registry with the base images; the first time on a machine they are assembled, which takes some seconds."""
    with local_registry(folder) as registry:
        made = ensure(["shell", "postgres:18"], registry)
        yield Bases(registry, made["shell"].reference, made["postgres:18"].reference)


def _await(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"docker-registry does not listen on {address}: {log.read_text()}") from None
            time.sleep(0.02)
        else:
            return
