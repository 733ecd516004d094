"""The command line against a living api, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli.main import app
from services.webhooks.app import assemble
from services.webhooks.settings import Settings
from shared.authorities import nobody
from shared.process import started
from tests.component.api.conftest import api
from tests.component.api.running import RunningApi
from tests.stack import service_settings

__all__ = ["api"]

Slipway = Callable[..., Coroutine[None, None, Result]]


@pytest.fixture(scope="session")
def schemas() -> tuple[str, ...]:
    """What its services keep."""
    return ("api", "auth", "webhooks")


@pytest.fixture
def slipway(api: RunningApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slipway:
    """Calls `slipway` with these words, as the first admin, in a folder that is no checkout."""
    monkeypatch.chdir(tmp_path)
    (api.home.path / "token").write_text(f"{api.token}\n")
    environment = {"SLIPWAY_URL": api.url, "SLIPWAY_HOME": str(api.home.path), "COLUMNS": "200", "TERM": "dumb"}

    async def call(*words: str, given: str | None = None, **variables: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(words), input=given, env={**environment, **variables})

    return call


@pytest.fixture
async def hooks(api: RunningApi, nats_url: str, postgres_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service webhooks beside api, with the catalogue and auth that api has; a client of its address. The project main/todo is there."""
    await api.with_todo()
    settings = service_settings(
        Settings,
        "webhooks",
        nats_url,
        postgres_dsn=SecretStr(postgres_dsn),
        home=api.home.path,
        tls_dir=api.home.tls,
        api_address=f"127.0.0.1:{api.opened.grpc_port}",
        auth_address=api.settings.auth_address,
        master_key_file=api.home.keys / "master.key",
        clone_key_file=api.home.keys / "clone.key",
    )
    async with started("webhooks", settings) as process:
        port = await assemble(process, settings, await process.database(settings, "webhooks"))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, verify=nobody()) as http:
            yield http
        process.stop()
        await process.until_stopped()


def answer(result: Result) -> Any:
    """What a command printed with --json."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
