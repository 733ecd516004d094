"""What stands in the way is found before anything is started, all at once."""

import os
import shutil
import socket
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from embedded.engine import Engine
from embedded.home import Home
from embedded.preflight import PreflightFailed, examine, print_findings
from embedded.settings import EngineSettings, Settings
from embedded.supervisor import up
from tests.stack import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_machine_that_has_all_gets_no_findings(settings: Settings) -> None:
    """Nothing in the way: nothing found, and nothing made either."""
    assert examine(settings) == ()
    assert not settings.home.exists()


def test_all_findings_come_at_once_and_nothing_is_started(settings: Settings, taken: int, folder: Path) -> None:
    """No engine, and one port named twice that is taken besides, are four findings of one refused start."""
    wrong = settings.model_copy(
        update={
            "http": f"127.0.0.1:{taken}",
            "nats_port": taken,
            "engine": EngineSettings(host=f"unix://{folder}/none.sock", socket=folder / "own.sock"),
        }
    )
    with pytest.raises(PreflightFailed) as refused:
        up(wrong, detach=True)
    findings = refused.value.findings
    assert [finding.where for finding in findings] == [f"unix://{folder}/none.sock", str(taken), f"127.0.0.1:{taken}", f"127.0.0.1:{taken}"]
    assert findings[1].problem == "SLIPWAY_HTTP and SLIPWAY_NATS_PORT name the same port"
    assert "SLIPWAY_HTTP" in findings[2].remedy
    assert "SLIPWAY_NATS_PORT" in findings[3].remedy
    assert not settings.home.exists()


def test_a_taken_port_names_the_process(settings: Settings, taken: int) -> None:
    """Who has the port is said by name and number."""
    (finding,) = examine(settings.model_copy(update={"https_port": taken}))
    assert f"(process {os.getpid()})" in finding.problem
    assert str(taken) in finding.problem


def test_an_address_of_another_machine_is_not_called_taken(settings: Settings) -> None:
    """What the machine says of it is told."""
    (finding,) = examine(settings.model_copy(update={"http": f"192.0.2.1:{free_port()}"}))
    assert "assign requested address" in finding.problem
    assert "SLIPWAY_HTTP" in finding.remedy


def test_a_setting_that_a_service_could_not_read_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, though several services read it; else these would end again and again."""
    monkeypatch.setenv("SLIPWAY_SWEEP_S", "a minute")
    monkeypatch.setenv("SLIPWAY_PRIVATE_FORGES", "http://[")
    found = {finding.where: finding for finding in examine(settings)}
    assert sorted(found) == ["SLIPWAY_PRIVATE_FORGES=http://[", "SLIPWAY_SWEEP_S=a minute"]
    assert found["SLIPWAY_SWEEP_S=a minute"].remedy.endswith("its default: 60.0")


def test_a_state_folder_that_cannot_be_made_is_told(settings: Settings, folder: Path) -> None:
    """A file where the folder should be is found, with its path."""
    (folder / "file").write_text("")
    (finding,) = examine(settings.model_copy(update={"home": folder / "file" / "home"}))
    assert finding.where == str(folder / "file")
    assert "SLIPWAY_HOME" in finding.remedy


def test_a_full_disk_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than two gigabytes free is too little."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 -- as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**9))
    findings = examine(settings)
    assert findings
    assert all("Too little disk space: 0.9 GB are free" in finding.problem for finding in findings)


def test_an_engine_that_nobody_can_start_is_told(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine and without dockerd, the package to install is named."""
    monkeypatch.setenv("PATH", str(folder))
    found = examine(settings.model_copy(update={"engine": EngineSettings(host=None, socket=folder / "docker.sock")}))
    assert "apt-get install docker.io" in {finding.remedy for finding in found if "engine" in finding.problem}.pop()


def test_an_old_engine_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API below what the local target needs is refused with both versions."""
    monkeypatch.setattr(Engine, "too_old", True)
    (finding,) = examine(settings)
    assert "too old" in finding.problem
    assert "1.41 is needed" in finding.problem


def test_findings_are_printed_for_people(settings: Settings, taken: int) -> None:
    """Each finding says what is wrong, where, and what to do."""
    console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    print_findings(examine(settings.model_copy(update={"web_port": taken})), console)
    console.file.close()
    text = console.export_text()
    assert f"Port {taken} is taken" in text
    assert "what to do: End that process, or set SLIPWAY_WEB_PORT to another port." in text


def test_a_home_keeps_its_name(home: Home) -> None:
    """The instance's name is chosen once; the private folders are private."""
    before = home.instance
    home.prepare()
    assert home.instance == before
    assert home.keys.stat().st_mode & 0o077 == 0
