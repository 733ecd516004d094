"""The variants do on the real engine what they promise."""

import time
from pathlib import Path

import httpx
import pytest

from tests import apps
from tests.apps import App, Repository
from tests.apps.bases import Bases
from tests.apps.engine import DockerError, Scratch
from tests.apps.web import PORT
from tests.polling import eventually

_OUTSIDER = ("--user", "65532:65532")


def _build(engine: Scratch, app: App, folder: Path, *options: str) -> str:
    repository = Repository.create(folder / app.name)
    repository.commit(app)
    return engine.build(repository.path, *options)


async def _get(engine: Scratch, container: str, path: str = "/") -> httpx.Response:
    url = f"http://{engine.address(container)}:{PORT}{path}"

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                return await client.get(url)
            except httpx.TransportError as error:
                raise AssertionError(f"{error!r}; the container says: {engine.logs(container)}") from error

    return await eventually(ask)


async def test_the_good_one_answers_and_stops_in_time(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """It answers version, colour and variable as a user without rights on a read-only root, and ends on SIGTERM."""
    image = _build(engine, apps.good(base_images.shell, version="7", colour="red"), tmp_path)
    container = engine.run(image, options=(*_OUTSIDER, "--env", "VARIABLE=äöü 1"))
    answer = (await _get(engine, container)).json()
    assert (answer["version"], answer["colour"], answer["variable"]) == ("7", "red", "äöü 1")
    assert (await _get(engine, container, "/healthz")).status_code == 200
    started = time.monotonic()
    engine.docker("stop", "--time", "8", container)
    assert time.monotonic() - started < 60, "hangs"
    assert engine.wait(container) == 0


async def test_a_build_with_a_cached_base_is_quick(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """A changed version builds in well under a second once the base image is there."""
    _build(engine, apps.good(base_images.shell, version="1"), tmp_path / "first")
    started = time.monotonic()
    _build(engine, apps.good(base_images.shell, version="2"), tmp_path / "second")
    assert time.monotonic() - started < 60, "hangs"


async def test_the_crashing_one_ends_with_its_code(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """It ends with 3 and its last words, on both outputs, are in the log."""
    container = engine.run(_build(engine, apps.crashing(base_images.shell), tmp_path), options=_OUTSIDER)
    assert engine.wait(container) == 3
    assert {"giving up", "cannot find /etc/app.conf"} <= set(engine.logs(container).splitlines())


async def test_the_hungry_one_is_killed_for_memory(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """The kernel ends it at its limit, and the engine knows why."""
    image = _build(engine, apps.memory_hungry(base_images.shell), tmp_path)
    container = engine.run(image, options=(*_OUTSIDER, "--memory", "64m"))
    assert engine.wait(container) == 137
    assert engine.docker("inspect", "--format", "{{.State.OOMKilled}}", container) == "true"


async def test_the_unhealthy_one_answers_500(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """Its page works and its health check does not."""
    container = engine.run(_build(engine, apps.never_healthy(base_images.shell), tmp_path), options=_OUTSIDER)
    assert (await _get(engine, container)).status_code == 200
    assert (await _get(engine, container, "/cgi-bin/health")).status_code == 500


async def test_the_worker_works_and_stops(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """It logs its pieces and ends on SIGTERM by itself."""
    container = engine.run(_build(engine, apps.worker(base_images.shell), tmp_path), options=_OUTSIDER)

    async def worked() -> bool:
        return "did piece 2" in engine.logs(container)

    await eventually(worked)
    engine.docker("stop", "--time", "8", container)
    assert engine.wait(container) == 0
    assert engine.logs(container).splitlines()[-1] == "worker stops"


async def test_the_broken_build_says_why(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """The build fails with the step's own words and exit code."""
    with pytest.raises(DockerError, match=r"(?s)unknown type name.*exit code: 7"):
        _build(engine, apps.broken_build(base_images.shell), tmp_path)


async def test_build_argument_and_secret_reach_the_build(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """The argument colours the answer; of the secret only the checksum is in the image."""
    (tmp_path / "token").write_text("s3cret")
    app = apps.with_build_inputs(base_images.shell)
    image = _build(engine, app, tmp_path, "--build-arg", "SHADE=green", "--secret", f"id=TOKEN,src={tmp_path}/token")
    container = engine.run(image, options=_OUTSIDER)
    assert (await _get(engine, container)).json()["colour"] == "green"
    checksum = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0"
    assert (await _get(engine, container, "/secret")).text.strip() == checksum


async def test_migration_and_database(engine: Scratch, base_images: Bases, tmp_path: Path) -> None:
    """The migration makes the application healthy; the failing one leaves what its undo takes back."""
    database = engine.run(
        base_images.postgres,
        options=(
            "--tmpfs",
            "/run/postgresql:uid=999",
            "--volume",
            f"{engine.volume()}:/var/lib/postgresql",
            "--env",
            "POSTGRES_PASSWORD=pw",
        ),
    )
    url = f"postgresql://postgres:pw@{engine.address(database)}/postgres"
    linked = ("--env", f"DATABASE_URL={url}")
    image = _build(engine, apps.with_database(base_images.postgres), tmp_path)
    web = engine.run(image, options=linked)
    assert (await _get(engine, web, "/cgi-bin/health")).status_code == 503

    async def migrated() -> bool:
        return engine.wait(engine.run(image, "/app/migrate.sh", options=linked)) == 0

    await eventually(migrated, every=0.2)
    assert (await _get(engine, web, "/cgi-bin/health")).status_code == 200
    assert [(await _get(engine, web)).json()["visits"] for _ in range(2)] == [1, 2]

    failing = _build(engine, apps.failing_migration(base_images.postgres), tmp_path)
    job = engine.run(failing, "/app/migrate.sh", options=linked)
    assert engine.wait(job) != 0
    assert 'relation "nowhere" does not exist' in engine.logs(job)
    assert engine.wait(engine.run(failing, "/app/undo.sh", options=linked)) == 0
