"""What stands in the environment and cannot be read is said by its variable, all of it at once."""

import pytest

from embedded.preflight import PreflightFailed, read_settings
from embedded.variables import misread
from services.builder.settings import Settings as OfBuilder


def test_every_variable_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it holds, and what it could be."""
    for name, value in (("HTTP", "8080"), ("HTTPS_PORT", "https"), ("NATS_PORT", "70000")):
        monkeypatch.setenv(f"SLIPWAY_{name}", value)
    with pytest.raises(PreflightFailed) as caught:
        read_settings()
    found = {finding.where: finding.remedy for finding in caught.value.findings}
    assert sorted(found) == ["SLIPWAY_HTTP=8080", "SLIPWAY_HTTPS_PORT=https", "SLIPWAY_NATS_PORT=70000"]
    assert "127.0.0.1:8080" in found["SLIPWAY_HTTP=8080"]


@pytest.mark.parametrize("http", ["localhost", ":8080", "127.0.0.1:0", "127.0.0.1:65536", "http://127.0.0.1:80", "a b:80"])
def test_an_address_without_a_port_is_none(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one with a scheme."""
    monkeypatch.setenv("SLIPWAY_HTTP", http)
    with pytest.raises(PreflightFailed, match="no address with a port from 1 to 65535"):
        read_settings()


def test_the_engine_has_variables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under their own prefix."""
    monkeypatch.setenv("SLIPWAY_ENGINE_IPTABLES", "perhaps")
    with pytest.raises(PreflightFailed, match="SLIPWAY_ENGINE_IPTABLES"):
        read_settings()


def test_a_table_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service needs besides, and the start gives, is no mistake of the user's."""
    monkeypatch.setenv("SLIPWAY_BUILD_ARGS", "{")
    assert [(each.variable, each.problem) for each in misread(OfBuilder)] == [("SLIPWAY_BUILD_ARGS", "it is no JSON")]
