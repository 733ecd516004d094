"""What stands in the environment and cannot be read is said by its variable, all of it at once."""

import os

import pytest

from cli.settings import Settings as OfCommandLine
from embedded.preflight import PreflightFailed, misspelt, read_settings
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


def test_a_misspelt_setting_is_told_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its value is not: it may be a token."""
    for name in [name for name in os.environ if name.startswith("SLIPWAY_")]:
        monkeypatch.delenv(name)
    for name in ("WEBPORT", "SWEEP_SECONDS", "TOKKEN", "QQ", "ENGINE_HOST"):
        monkeypatch.setenv(f"SLIPWAY_{name}", "secret")
    found = {finding.problem: finding.remedy for finding in misspelt(OfCommandLine)}
    assert found == {
        "SLIPWAY_ENGINE_HOST is no setting": "Did you mean SLIPWAY_ENGINE_SOCKET?",
        "SLIPWAY_QQ is no setting": "Unset it; docs/operations.md names the settings.",
        "SLIPWAY_SWEEP_SECONDS is no setting": "Did you mean SLIPWAY_SWEEP_S?",
        "SLIPWAY_TOKKEN is no setting": "Did you mean SLIPWAY_TOKEN?",
        "SLIPWAY_WEBPORT is no setting": "Did you mean SLIPWAY_WEB_PORT?",
    }


def test_what_the_start_the_services_and_the_command_line_read_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any case of letters, as it is read."""
    for name in [name for name in os.environ if name.startswith("SLIPWAY_")]:
        monkeypatch.delenv(name)
    for name in ("slipway_web_port", "SLIPWAY_DOCKER_HOST", "SLIPWAY_ENGINE_BRIDGE", "SLIPWAY_CACHE", "SLIPWAY_URL", "SLIPWAY_DRAIN_S"):
        monkeypatch.setenv(name, "1")
    assert misspelt(OfCommandLine) == ()
