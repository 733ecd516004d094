"""A container as the engine shows it. https://docs.docker.com/engine/api/v1.41/#operation/ContainerInspect."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Container:
    """A container as the engine shows it."""

    id: str
    name: str
    labels: Mapping[str, str]
    status: str
    """created, running, paused, restarting, exited, removing or dead."""
    exit_code: int
    out_of_memory: bool
    error: str
    pid: int
    started_at: str
    image: str
    user: str
    command: tuple[str, ...]
    environment: tuple[str, ...]
    stop_signal: str
    memory_bytes: int
    nano_cpus: int
    restart_policy: str
    read_only: bool
    networks: Mapping[str, "Attachment"]
    volumes: tuple[str, ...]

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.status in {"running", "paused"}

    @property
    def started_second(self) -> int:
        """When it started, since the epoch; the engine's times have nanoseconds, which Python does not read."""
        return int(datetime.fromisoformat(self.started_at[:19] + "+00:00").timestamp())

    @property
    def has_started(self) -> bool:
        """Whether the engine knows of a start, also of what it is removing."""
        return not self.started_at.startswith("0001-")

    @property
    def going(self) -> bool:
        """Whether its removal is under way, or has failed half-way."""
        return self.status in {"removing", "dead"}

    def label(self, name: str) -> str:
        """The value of `slipway.<name>`; empty where it has none."""
        return self.labels.get(f"slipway.{name}", "")

    def is_on(self, network: Mapping[str, Any] | None) -> bool:
        """Whether it is on this very network, and not on one of that name which is gone. One that never ran may not say."""
        attached = None if network is None else self.networks.get(network["Name"])
        return network is not None and attached is not None and attached.network_id in {"", network["Id"]}


@dataclass(frozen=True)
class Attachment:
    """A container on a network: its fixed address, and the names that it is found by."""

    address: str
    aliases: tuple[str, ...]
    network_id: str = ""


def container_of(shown: Mapping[str, Any]) -> Container:
    """Reads the engine's answer."""
    state, config, host = shown["State"], shown["Config"], shown["HostConfig"]
    return Container(
        id=shown["Id"],
        name=shown["Name"].removeprefix("/"),
        labels=config.get("Labels") or {},
        status=state["Status"],
        exit_code=state["ExitCode"],
        out_of_memory=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        pid=state["Pid"],
        started_at=state["StartedAt"],
        image=config["Image"],
        user=config.get("User") or "",
        command=tuple(config.get("Entrypoint") or ()) + tuple(config.get("Cmd") or ()),
        environment=tuple(config.get("Env") or ()),
        stop_signal=config.get("StopSignal") or "SIGTERM",
        memory_bytes=host.get("Memory") or 0,
        nano_cpus=host.get("NanoCpus") or 0,
        restart_policy=host["RestartPolicy"]["Name"] or "no",
        read_only=bool(host.get("ReadonlyRootfs")),
        networks={name: _attachment(shown["Id"], part) for name, part in shown["NetworkSettings"]["Networks"].items()},
        volumes=tuple(mount["Name"] for mount in shown.get("Mounts") or () if mount["Type"] == "volume"),
    )


def _attachment(container_id: str, part: Mapping[str, Any]) -> Attachment:
    fixed = (part.get("IPAMConfig") or {}).get("IPv4Address") or part.get("IPAddress") or ""
    aliases = tuple(sorted(alias for alias in part.get("Aliases") or () if not container_id.startswith(alias)))
    return Attachment(fixed, aliases, part.get("NetworkID") or "")
