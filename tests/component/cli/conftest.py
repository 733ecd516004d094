"""The command line against a living api, over real HTTP."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.component.api.conftest import api
from tests.component.api.running import RunningApi

__all__ = ["api"]

Slipway = Callable[..., Coroutine[None, None, Result]]


@pytest.fixture
def slipway(api: RunningApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slipway:
    """Calls `slipway` with these words, as the first admin, in a folder that is no checkout."""
    monkeypatch.chdir(tmp_path)
    (api.home.path / "token").write_text(f"{api.token}\n")
    environment = {"SLIPWAY_URL": api.url, "SLIPWAY_HOME": str(api.home.path), "COLUMNS": "200", "TERM": "dumb"}

    async def call(*words: str, given: str | None = None, **variables: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(words), input=given, env={**environment, **variables})

    return call


def answer(result: Result) -> Any:
    """What a command printed with --json."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
