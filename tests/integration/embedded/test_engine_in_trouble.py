"""A container engine that answers wrongly, too slowly, or not at all: nothing is done to it, and it is told of."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from embedded import engine, supervisor
from embedded.engine import EngineError
from embedded.home import Home
from embedded.preflight import examine
from embedded.settings import EngineSettings, Settings
from embedded.status import status
from embedded.supervisor import SupervisorEnded, down
from tests.integration.embedded.stand_in import VERSION, stand_in

Slipway = Callable[..., Result]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer within a moment, or none."""
    monkeypatch.setattr(engine, "_ANSWER_LIMIT", 0.2)


@pytest.fixture
def lonely(folder: Path) -> Settings:
    """A home that was started before, and no engine."""
    nowhere = EngineSettings(host=None, socket=folder / "engine.sock", data_root=folder / "data", exec_root=folder / "exec")
    chosen = Settings(home=folder / "home", engine=nowhere)
    Home.at(chosen.home).prepare()
    return chosen


@pytest.fixture
def slipway(lonely: Settings, monkeypatch: pytest.MonkeyPatch) -> Slipway:
    """Calls `slipway` on that home."""
    for name in ("SLIPWAY_DOCKER_HOST", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    environment = {**lonely.environment(), "COLUMNS": "200", "TERM": "dumb"}
    return lambda *words: CliRunner().invoke(app, list(words), env=environment)


def test_an_engine_that_answers_too_slowly_is_not_replaced(lonely: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one on its socket would take its place, and all its containers would seem gone."""
    calls = folder / "calls"
    (folder / "dockerd").write_text(f"#!/bin/sh\ntouch {calls}\n")
    (folder / "dockerd").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    with stand_in(folder, {}):
        with pytest.raises(EngineError, match="answers too slowly"):
            engine.ensure(lonely.engine)
        assert "answers too slowly" in " ".join(finding.problem for finding in examine(lonely))
    assert not calls.exists()


@pytest.mark.parametrize("answers", [{}, VERSION, VERSION | {"GET /containers/json": (500, {"message": "transport is closing"})}])
def test_an_engine_in_trouble_is_told_of(lonely: Settings, slipway: Slipway, answers: dict[str, tuple[int, object]]) -> None:
    """Status goes on and says what is wrong with it; so do doctor and down, in a sentence and with status 1."""
    with stand_in(lonely.engine.socket.parent, answers):
        trouble = status(lonely).engine_trouble
        assert trouble is not None
        assert "answers too slowly" in trouble.what or "transport is closing" in trouble.what
        for words in (("status",), ("doctor",), ("down", "--all")):
            done = slipway(*words)
            assert isinstance(done.exception, SystemExit), words
            assert done.exit_code == 1
            assert trouble.what in done.output or words == ("doctor",)


def test_what_the_engine_does_not_remove_is_not_called_removed(lonely: Settings, slipway: Slipway) -> None:
    """The refusal is told."""
    refusing = VERSION | {
        "GET /containers/json": (200, []),
        "GET /networks": (200, [{"Id": "n", "Name": "slw-x-net"}]),
        "DELETE /networks/n": (403, {"message": "network slw-x-net has active endpoints"}),
    }
    with stand_in(lonely.engine.socket.parent, refusing):
        done = slipway("down", "--all")
    assert done.exit_code == 1
    assert "has active endpoints" in done.output


def test_without_an_engine_nothing_is_called_removed(lonely: Settings, slipway: Slipway, folder: Path) -> None:
    """What the instance has on it is there again with the engine. Where there was no start yet, there is nothing to remove."""
    done = slipway("down", "--all", "--volumes")
    assert done.exit_code == 1
    assert f"No container engine answers at {lonely.engine.address}" in done.output
    assert slipway("down").exit_code == 0
    assert not down(lonely.model_copy(update={"home": folder / "other"}), everything=True).was_running


def test_a_supervisor_that_was_killed_under_an_attached_start_is_told_of(slipway: Slipway, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence, and with status 1."""

    def killed(*_: object, **__: object) -> None:
        raise SupervisorEnded("ended by SIGKILL. See logs/supervisor.log.")

    monkeypatch.setattr(supervisor, "up", killed)
    done = slipway("up")
    assert done.exit_code == 1
    assert "Slipway ended by itself: ended by SIGKILL." in done.output
