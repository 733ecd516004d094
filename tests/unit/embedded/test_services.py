"""The environment that each service gets."""

from pathlib import Path

import pytest

from embedded.home import Home
from embedded.services import SERVICES, Wiring
from embedded.settings import Settings

PRUNE = "SLIPWAY_PRUNE_BUILD_CACHE"


def environments(folder: Path, *, engine_is_ours: bool) -> dict[str, dict[str, str]]:
    """By service."""
    home = Home.at(folder)
    home.prepare()
    ports = {name: 1 for service in SERVICES for name in service.port_names} | {"registry": 2, "traefik-api": 3}
    names = [service.name for service in SERVICES]
    dsns = dict.fromkeys(names, "postgresql://x")
    wiring = Wiring(Settings(), home, ports, "unix:///x", "nats://x", dict.fromkeys(names, "p"), dsns, engine_is_ours)
    return {service.name: wiring.environment(service) for service in SERVICES}


def test_the_build_cache_is_pruned_in_an_engine_of_our_own_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In somebody else's engine the cache is theirs too; what the user says counts in both."""
    monkeypatch.delenv(PRUNE, raising=False)
    assert environments(tmp_path, engine_is_ours=True)["builder"][PRUNE] == "true"
    assert all(PRUNE not in found for found in environments(tmp_path, engine_is_ours=False).values())
    monkeypatch.setenv(PRUNE, "false")
    assert environments(tmp_path, engine_is_ours=True)["builder"][PRUNE] == "false"
