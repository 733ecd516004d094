"""The embedded image registry: Debian's docker-registry in a container, on 127.0.0.1 only."""

import os
from dataclasses import replace
from pathlib import Path

import yaml

from embedded.container import Container, Mount
from embedded.home import Home

_OUTSIDER = 65532
"""The user of both data-plane containers where we are root: one that exists nowhere on the machine."""
_MEMORY = 512 * 1024 * 1024


def name(instance: str) -> str:
    """The container's name."""
    return f"{instance}-registry"


def prepare(home: Home, port: int, image: str) -> Container:
    """Write the configuration and describe the container. Images lie in `$SLIPWAY_HOME/registry/data`."""
    data, configuration = home.registry / "data", home.registry / "config.yml"
    data.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(_configuration(port), sort_keys=False)
    configuration.write_text(text)
    configuration.chmod(0o644)
    return Container(
        name=name(home.instance),
        image=image,
        command=("serve", "/etc/registry.yml"),
        user=outsider(data),
        mounts=(
            Mount(configuration, Path("/etc/registry.yml")),
            Mount(data, Path("/var/lib/registry"), read_only=False),
        ),
        memory=_MEMORY,
        labels=(("slipway.instance", home.instance), ("slipway.role", "registry")),
        content=text,
    )


def sweep(container: Container) -> Container:
    """What frees the data of deleted images. Only while the registry is stopped: it would free what is being pushed.

    Images stay as long as a manifest names them, with a tag or without: releases run by digest.
    """
    return replace(container, name=f"{container.name}-sweep", command=("garbage-collect", "/etc/registry.yml"))


def outsider(*folders: Path) -> str:
    """The user and group that a container runs as, as owner of `folders`: ourselves, or where we are root nobody's."""
    if os.geteuid() != 0:
        return f"{os.geteuid()}:{os.getegid()}"
    for folder in folders:
        os.chown(folder, _OUTSIDER, _OUTSIDER)
    return f"{_OUTSIDER}:{_OUTSIDER}"


def _configuration(port: int) -> dict[str, object]:
    """https://distribution.github.io/distribution/about/configuration/ (2.8)."""
    return {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": "/var/lib/registry"},
            "delete": {"enabled": True},
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {"addr": f"127.0.0.1:{port}", "headers": {"X-Content-Type-Options": ["nosniff"]}},
    }
