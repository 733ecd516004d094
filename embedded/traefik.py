"""The embedded load balancer: Traefik in a container. It carries the platform's front door and all applications."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from embedded.container import Container, Mount
from embedded.home import Home, write_private
from embedded.registry import outsider
from shared.traefik import (
    DefaultCertificate,
    DynamicConfiguration,
    Store,
    Tls,
    place,
    place_certificate,
)

_MEMORY_LEAST = 512 * 1024 * 1024
"""Enough for 10,000 connections with a request each, about 40 KB each."""
_MEMORY_SHARE = 8
"""One part in so many of the machine's memory, where that is more: without room for its connections it is killed, with all of them."""
_COLLECT_AT = 4 / 5
"""Of its memory. From here on Go frees memory before it takes more; by itself it would let it double between two collections."""
_INSIDE = Path("/slipway")
EVERYWHERE = ""
"""Applications are for everyone: all addresses, of both families."""
_PRIVILEGED_PORTS = 1024
_NO_LIMIT: dict[str, object] = {"transport": {"respondingTimeouts": {"readTimeout": 0}}}
"""Traefik's own limit (60 s) ends streams, uploads and `git push` in the middle."""
_NO_ALIASES: dict[str, object] = {"aliasHeadersStrategy": "delete"}
"""`X_Forwarded_For` is the same as `X-Forwarded-For` to many an application, but not to Traefik, which sets it."""


@dataclass(frozen=True)
class Doors:
    """Where Traefik listens."""

    platform: str
    """host:port of the platform's front door."""
    web: int
    websecure: int
    api: int
    """Traefik's own API and metrics, on 127.0.0.1."""

    @property
    def need_root(self) -> bool:
        """Whether one of them is a privileged port."""
        ports = (int(self.platform.rpartition(":")[2]), self.web, self.websecure)
        return any(port < _PRIVILEGED_PORTS for port in ports)


def name(instance: str) -> str:
    """The container's name."""
    return f"{instance}-traefik"


def prepare(home: Home, doors: Doors, image: str) -> Container:
    """Write the static configuration and describe the container.

    It works in `$SLIPWAY_HOME/traefik`, which it sees read-only as `/slipway`: under its path on this machine it might not reach
    it, since images close folders such as /root to all but root. Folders hand their group on (setgid), and Traefik is in it: a key
    with mode 0640 is readable for it.
    """
    user, memory = _share_folders(home.traefik), _memory(psutil.virtual_memory().total)
    text = yaml.safe_dump(_static_configuration(doors), sort_keys=False)
    write_private(home.traefik / "traefik.yml", text, 0o640)
    return Container(
        name=name(home.instance),
        image=image,
        command=("--configFile=traefik.yml",),
        user="0:0" if doors.need_root else user,
        mounts=(Mount(home.traefik, _INSIDE),),
        folder=_INSIDE,
        memory=memory,
        environment=(("GOMEMLIMIT", str(int(memory * _COLLECT_AT))),),
        labels=(("slipway.instance", home.instance), ("slipway.role", "load-balancer")),
        content=text,
        capabilities=("NET_BIND_SERVICE", "DAC_READ_SEARCH") if doors.need_root else (),
    )


def _memory(of_machine: int) -> int:
    """Its limit in bytes: whole steps, so that a machine that boots with a little more or less does not have it made anew."""
    return max(_MEMORY_LEAST, of_machine // _MEMORY_SHARE // _MEMORY_LEAST * _MEMORY_LEAST)


def configured_ports(home: Home) -> frozenset[int]:
    """The ports of the static configuration that was written last."""
    file = home.traefik / "traefik.yml"
    if not file.exists():
        return frozenset()
    doors = yaml.safe_load(file.read_text())["entryPoints"].values()
    return frozenset(int(door["address"].rpartition(":")[2]) for door in doors)


def place_default_certificate(home: Home) -> None:
    """What answers for names that no application has.

    Without it Traefik makes one of its own, an RSA key and all, each time that anything changes: 40 to 200 ms of every switch.
    """
    chain, key = (path.read_text() for path in home.default_certificate)
    placed = place_certificate(home.traefik / "certificates", chain, key)
    store = Store(default_certificate=DefaultCertificate(cert_file=placed.cert_file, key_file=placed.key_file))
    place(home.traefik / "dynamic", "default-certificate", DynamicConfiguration(tls=Tls(stores={"default": store})))


def _share_folders(folder: Path) -> str:
    """Make the folders, readable for the container's group and nobody else; its user is returned."""
    user = outsider()
    group = int(user.partition(":")[2])
    for part in (folder, folder / "dynamic", folder / "certificates"):
        part.mkdir(parents=True, exist_ok=True)
        os.chown(part, -1, group)
        part.chmod(0o2750)
    return user


def _static_configuration(doors: Doors) -> dict[str, object]:
    """https://doc.traefik.io/traefik/reference/install-configuration/ (v3)."""
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "WARN"},
        "api": {"insecure": True, "dashboard": False},
        "entryPoints": {
            "platform": {"address": doors.platform, "http": _NO_ALIASES, **_NO_LIMIT},
            "web": {"address": f"{EVERYWHERE}:{doors.web}", "http": _NO_ALIASES, **_NO_LIMIT},
            "websecure": {
                "address": f"{EVERYWHERE}:{doors.websecure}",
                "http": {"tls": {}, **_NO_ALIASES},
                **_NO_LIMIT,
            },
            "traefik": {"address": f"127.0.0.1:{doors.api}", "http": _NO_ALIASES},
        },
        "metrics": {"prometheus": {"entryPoint": "traefik", "addServicesLabels": True}},
        "providers": {
            "providersThrottleDuration": "50ms",
            "file": {"directory": "dynamic", "watch": True},
        },
    }
