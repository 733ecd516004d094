"""Real images, containers and networks for tests, all under one label, and all removed at the end."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Debian's client speaks to any engine's own BuildKit; one from elsewhere may need a plug-in for that.
_DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else str(shutil.which("docker"))
_HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")


class DockerError(Exception):
    """Docker refused; the message has its words."""


@dataclass(frozen=True)
class Scratch:
    """What one test makes. `name` is random; it is the label `slipway.instance` and the prefix of all names."""

    name: str

    @property
    def network(self) -> str:
        """The network that its containers are on."""
        return f"{self.name}-net"

    def docker(self, *arguments: str) -> str:
        """Run docker and return its output; DockerError when it fails."""
        done = subprocess.run((_DOCKER, *arguments), check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise DockerError(f"docker {' '.join(arguments)}: {done.stderr.strip()}{done.stdout.strip()}")
        return done.stdout.strip()

    def build(self, context: Path, *options: str, network: str = "none") -> str:
        """Build a folder's Dockerfile with the engine's BuildKit; the image's name. `network` is that of RUN steps."""
        image = f"{self.name}-{secrets.token_hex(3)}"
        command = (
            _DOCKER,
            "build",
            "--progress=plain",
            "--network",
            network,
            "--label",
            self._label,
            "--tag",
            image,
            *options,
            str(context),
        )
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})
        if done.returncode != 0:
            raise DockerError(done.stderr)
        return image

    def run(self, image: str, *command: str, options: tuple[str, ...] = ()) -> str:
        """Start a hardened container in the background; its name."""
        container = f"{self.name}-{secrets.token_hex(3)}"
        self.docker(
            "run", "--detach", "--name", container, "--label", self._label, "--network", self.network,
            *_HARDENED, *options, image, *command,
        )  # fmt: skip
        return container

    def wait(self, container: str) -> int:
        """Wait until it has ended; its exit code."""
        return int(self.docker("wait", container))

    def logs(self, container: str) -> str:
        """All that it printed."""
        done = subprocess.run((_DOCKER, "logs", container), check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout

    def address(self, container: str) -> str:
        """Its IP address, which this machine can reach."""
        networks = json.loads(self.docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
        return str(networks[self.network]["IPAddress"])

    def volume(self) -> str:
        """A new volume's name."""
        return self.docker("volume", "create", "--label", self._label, f"{self.name}-{secrets.token_hex(3)}")

    @property
    def _label(self) -> str:
        return f"slipway.instance={self.name}"

    def remove(self) -> None:
        """Remove everything under the label."""
        chosen = ("--filter", f"label={self._label}")
        for listed, removal in (
            (("ps", "--all", "--quiet", *chosen), ("rm", "--force", "--volumes")),
            (("volume", "ls", "--quiet", *chosen), ("volume", "rm", "--force")),
            (("network", "ls", "--quiet", *chosen), ("network", "rm")),
            (("images", "--quiet", *chosen), ("rmi", "--force")),
        ):
            found = sorted(set(self.docker(*listed).split()))
            if found:
                self.docker(*removal, *found)


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A network and a label for one test."""
    one = Scratch(f"t{secrets.token_hex(4)}")
    one.docker("network", "create", "--label", f"slipway.instance={one.name}", one.network)
    try:
        yield one
    finally:
        one.remove()


def forget_pulled(registry: str) -> None:
    """Remove from the engine the images of a test's own registry (host:port), by name: another's names for the same image stay."""
    engine = Scratch("")
    patterns = [part for depth in ("*/*", "*/*/*") for part in ("--filter", f"reference={registry}/{depth}")]
    listed = engine.docker("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}", *patterns)
    rows = [line.split() for line in listed.splitlines()]
    # With the last tag its digests go, too.
    names = {f"{repository}:{tag}" if tag != "<none>" else f"{repository}@{digest}" for repository, tag, digest in rows}
    if names:
        engine.docker("rmi", *sorted(names))
