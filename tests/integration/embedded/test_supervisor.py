"""`up`, `down` and `status` with real servers, containers and processes."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import asyncpg
import psutil
import pytest

from embedded import authority, engine, lock, supervisor
from embedded.home import Home
from embedded.preflight import PreflightFailed
from embedded.progress import WHOLE, Progress
from embedded.settings import Settings
from embedded.status import ProcessStatus, Status, status
from embedded.supervisor import StartFailed, down, up
from tests.integration.embedded.conftest import TINY
from tests.polling import eventually
from tests.stack import free_port, nats_server, postgres_server

EXPECTED = {"supervisor", "nats", "postgres", "auth", "builder"}


def process(found: Status, name: str) -> ProcessStatus:
    """The process of that name."""
    return next(each for each in found.processes if each.name == name)


def pid_of(found: Status, name: str) -> int:
    """Its process id."""
    pid = process(found, name).pid
    assert pid is not None
    return pid


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


async def test_up_is_ready_and_applications_outlive_down(settings: Settings) -> None:
    """After `up` every health check is true; `down` ends every process and leaves the data plane running; `down --all` ends that too."""
    told: list[Progress] = []
    up(settings, detach=True, command=TINY, report=told.append)
    found = status(settings)
    assert found.ready
    assert {each.name for each in found.processes} == EXPECTED
    assert told[-1].part == WHOLE
    assert told[-1].state == "ready"

    pids = [each.pid for each in found.processes if each.pid is not None]
    assert down(settings).was_running
    assert alive(pids) == []
    assert {each.role: each.state for each in status(settings).containers} == {"registry": "running", "load-balancer": "running"}

    ended = down(settings, everything=True)
    assert len(ended.containers) == 2
    assert status(settings).containers == ()


async def test_a_warm_start_leaves_the_data_plane_alone(settings: Settings) -> None:
    """The second start keeps ports, passwords and containers. (How long it takes is bench/footprint.py's to say.)"""
    up(settings, detach=True, command=TINY)
    ports = (settings.home / "run" / "ports.json").read_text()
    containers = {each.name: psutil.Process for each in status(settings).containers}
    down(settings)
    up(settings, detach=True, command=TINY)
    assert (settings.home / "run" / "ports.json").read_text() == ports
    assert {each.name for each in status(settings).containers} == set(containers)


async def test_whatever_dies_is_started_again(settings: Settings) -> None:
    """A service, NATS and PostgreSQL killed outright are up again, and all is ready, without anybody's help."""
    up(settings, detach=True, command=TINY)
    for name in ("auth", "nats", "postgres"):
        before = pid_of(status(settings), name)
        os.kill(before, signal.SIGKILL)

        async def came_back(name: str = name, before: int = before) -> bool:
            found = status(settings)
            return found.ready and process(found, name).pid not in (None, before)

        await eventually(came_back, within=30)
        assert process(status(settings), name).restarts == 1
        assert process(status(settings), name).last_end == "ended by SIGKILL"


async def test_a_removed_container_comes_back(settings: Settings) -> None:
    """Registry and load balancer, without anybody's help and with everything else as it was; the log tells of it."""
    up(settings, detach=True, command=TINY)
    before = status(settings)
    names = [container.name for container in before.containers]
    for name in names:
        engine.order(settings.engine.address, "DELETE", f"/containers/{name}?force=true", 10)

    async def came_back() -> bool:
        return status(settings).ready

    await eventually(came_back)
    found = status(settings)
    assert [container.name for container in found.containers] == names
    assert [each.pid for each in found.processes] == [each.pid for each in before.processes]
    assert found.attention == ()
    assert "container removed, it is made again" in (settings.home / "logs" / "supervisor.log").read_text()


async def test_nothing_is_left_of_a_killed_supervisor(settings: Settings) -> None:
    """When the supervisor is killed its children end by themselves, and the next start works."""
    up(settings, detach=True, command=TINY)
    found = status(settings)
    pids = [each.pid for each in found.processes if each.pid is not None]
    os.kill(pid_of(found, "supervisor"), signal.SIGKILL)

    async def all_gone() -> bool:
        return alive(pids) == []

    await eventually(all_gone, within=20)
    assert status(settings).supervisor is None
    up(settings, detach=True, command=TINY)
    assert status(settings).ready


def test_a_start_with_a_database_and_without_its_key_is_refused(settings: Settings, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one would open none of the secrets, and nobody would know why. Said before anything starts, and by the supervisor too."""
    (home.keys / "postgres.json").write_text("{}")
    with pytest.raises(PreflightFailed) as refused:
        up(settings, detach=True, command=TINY)
    assert [finding.where for finding in refused.value.findings] == [str(home.keys / "master.key"), str(home.keys / "target.key")]
    assert "from the backup" in refused.value.findings[0].remedy
    monkeypatch.setattr(supervisor, "examine", lambda _: ())
    with pytest.raises(StartFailed, match=r"keys/master.key .*from the backup"):
        up(settings, detach=True, command=TINY)
    assert not (home.keys / "master.key").exists()


async def test_a_second_start_on_the_same_home_is_refused(settings: Settings) -> None:
    """Two supervisors on one home would fight: the second is told about the first."""
    started = up(settings, detach=True, command=TINY)
    with pytest.raises(PreflightFailed, match=rf"runs already on this home \(process {started.pid}\)"):
        up(settings, detach=True, command=TINY)


async def test_of_two_starts_at_once_the_later_is_told_why(settings: Settings, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """When both have looked before either holds the home."""
    monkeypatch.setattr(supervisor, "examine", lambda _: ())
    with lock.take(home), pytest.raises(StartFailed, match=rf"runs already on .* \(process {os.getpid()}\)"):
        up(settings, detach=True, command=TINY)


async def test_a_failed_preparation_is_told_and_leaves_nothing_running(settings: Settings) -> None:
    """Where the preparation fails, `up` raises its words, and NATS and PostgreSQL are ended again."""
    told: list[Progress] = []
    command = (sys.executable, "-m", "tests.integration.embedded.broken_stack")
    with pytest.raises(StartFailed, match="no_such_module"):
        up(settings, detach=True, command=command, report=told.append)
    found = status(settings)
    assert found.supervisor is None
    servers = [int(each.detail.removeprefix("process ")) for each in told if each.detail.startswith("process ")]
    assert len(servers) == 2
    assert alive(servers) == []


async def test_a_service_that_cannot_start_is_named_with_its_last_words(settings: Settings) -> None:
    """A start that is given up says which part is missing and why, and leaves nothing running."""

    def give_up(progress: Progress) -> None:
        if (progress.part, progress.state) == ("builder", "failed"):
            os.kill(os.getpid(), signal.SIGTERM)

    command = (sys.executable, "-m", "tests.integration.embedded.crashing_stack")
    with pytest.raises(StartFailed, match=r"(?s)Still missing: builder.*exit code 1.*this service has a bug"):
        up(settings, detach=True, command=command, report=give_up)
    assert status(settings).supervisor is None


async def test_a_start_that_does_not_become_ready_in_time_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the limit everything that was started is ended again."""
    monkeypatch.setattr(supervisor, "_START_LIMIT", 3.0)
    with pytest.raises(StartFailed):
        up(settings, detach=True, command=(sys.executable, "-m", "tests.integration.embedded.crashing_stack"))
    assert status(settings).supervisor is None


async def test_a_signal_ends_an_attached_start_in_order(settings: Settings) -> None:
    """SIGINT at `up` without --detach ends services and servers, and exits without an error."""
    code = (
        "from embedded.supervisor import up; from embedded.settings import Settings\n"
        f"up(Settings(), command={TINY!r}, report=lambda p: print(p.part, p.state, flush=True))"
    )
    environment = {**os.environ, **settings.environment()}
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert running.stdout is not None
    with running, running.stdout as output:
        for line in output:
            if line == "slipway ready\n":
                break
        pids = [each.pid for each in status(settings).processes if each.pid is not None]
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        output.read()
        assert running.wait(20) == 0
    assert time.monotonic() - began < 60, "hangs"
    assert alive(pids) == []


async def test_whatever_hangs_is_killed_and_started_again(settings: Settings) -> None:
    """A service, NATS and PostgreSQL that run and answer nothing any more."""
    up(settings, detach=True, command=(sys.executable, "-m", "tests.integration.embedded.impatient_stack"))
    for name in ("builder", "nats", "postgres"):
        stopped = pid_of(status(settings), name)
        os.kill(stopped, signal.SIGSTOP)

        async def again(name: str = name, stopped: int = stopped) -> bool:
            now = process(status(settings), name)
            return now.ready and now.pid != stopped

        await eventually(again, within=60)
        assert process(status(settings), name).last_end == "ended by SIGKILL"


@pytest.mark.timeout(60)
async def test_a_terminal_that_is_stopped_stops_nothing(settings: Settings, home: Home) -> None:
    """Nobody reads what the supervisor says: it goes on, what ends is started again; that all is ready is told when somebody reads."""
    command = (sys.executable, "-m", "tests.integration.embedded.bare_stack")
    running, reading = supervisor._spawn(settings, home, command)
    with running, os.fdopen(reading, "rb") as pipe:
        filling = os.open(f"/proc/self/fd/{reading}", os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(filling, b"\n" * 4096)
        os.close(filling)

        async def is_ready(other_than: int | None = None) -> int | None:
            builder = next((each for each in status(settings).processes if each.name == "builder"), None)
            return builder.pid if builder is not None and builder.ready and builder.pid != other_than else None

        before = await eventually(is_ready)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await eventually(partial(is_ready, before))
        said = (json.loads(line)["state"] for line in pipe if line != b"\n")
        assert "ready" in said
        assert down(settings).was_running


async def test_a_full_disk_of_logs_ends_nothing(settings: Settings) -> None:
    """Where the supervisor cannot write a line any more, it still starts again what ended; the lines come again once there is room."""
    up(settings, detach=True, command=(sys.executable, "-m", "tests.integration.embedded.bare_stack"))
    log = Home.at(settings.home).logs / "supervisor.log"
    with log.open("a") as filler:
        filler.write("x" * 100_000)
    supervisor_id = pid_of(status(settings), "supervisor")

    async def ends_and_comes_back() -> None:
        before = pid_of(status(settings), "builder")
        os.kill(before, signal.SIGKILL)

        async def came_back() -> bool:
            now = process(status(settings), "builder")
            return now.ready and now.pid not in (None, before)

        await eventually(came_back)

    limits = resource.prlimit(supervisor_id, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    await ends_and_comes_back()
    assert "process ended" not in log.read_text()
    resource.prlimit(supervisor_id, resource.RLIMIT_FSIZE, limits)
    await ends_and_comes_back()
    assert "process ended" in log.read_text()
    assert status(settings).supervisor == supervisor_id


async def test_services_get_their_own_secrets_only(settings: Settings) -> None:
    """A service that keeps nothing has no database address in its environment, and each has its own user on the bus."""
    up(settings, detach=True, command=TINY)
    found = status(settings)
    environments = {name: _environment(pid_of(found, name), Home.at(settings.home)) for name in ("auth", "builder")}
    assert "SLIPWAY_POSTGRES_DSN" in environments["auth"]
    assert "SLIPWAY_POSTGRES_DSN" not in environments["builder"]
    assert environments["auth"]["SLIPWAY_NATS_USER"] == "auth"
    assert environments["auth"]["SLIPWAY_NATS_PASSWORD"] != environments["builder"]["SLIPWAY_NATS_PASSWORD"]


def _environment(pid: int, home: Home) -> dict[str, str]:
    """What the tiny service wrote down of its environment: /proc shows only that of the fork's parent."""
    lines = (home.run / f"environment.{pid}").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


async def test_certificates_are_renewed_while_the_platform_runs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services whose certificate nears its end have another one, and read it, without a start of the platform."""
    up(settings, detach=True, command=(sys.executable, "-m", "tests.integration.embedded.renewing_stack"))
    before = status(settings)
    home = Home.at(settings.home)
    monkeypatch.setattr(authority, "_LEAF_DAYS", 59)
    for name in ("auth", "builder"):
        authority.load(home.tls).issue(name).write(home.tls / f"{name}.pem", home.tls / f"{name}.key")
    old = (home.tls / "builder.pem").read_bytes()

    async def renewed() -> bool:
        now = status(settings)
        services = [(process(now, name), process(before, name)) for name in ("auth", "builder")]
        return all(new.ready and new.pid not in (None, old.pid) for new, old in services)

    await eventually(renewed)
    assert (home.tls / "builder.pem").read_bytes() != old
    now = status(settings)
    assert now.supervisor == before.supervisor
    assert {process(now, name).last_end for name in ("auth", "builder")} == {"exit code 0"}


async def test_every_log_stays_small(settings: Settings) -> None:
    """Also the supervisor's own, and the one that every start writes to."""
    up(settings, detach=True, command=(sys.executable, "-m", "tests.integration.embedded.bare_stack"))
    logs = Home.at(settings.home).logs
    for name in ("supervisor", "preparation", "nats"):
        with (logs / f"{name}.log").open("ab") as log:
            log.truncate(11 * 1024 * 1024)

    async def rotated() -> bool:
        return all((logs / f"{name}.log").stat().st_size < 1024 * 1024 for name in ("supervisor", "preparation", "nats"))

    await eventually(rotated)
    assert (logs / "supervisor.log.1").stat().st_size == 11 * 1024 * 1024


async def test_logs_are_private(settings: Settings) -> None:
    """Logs, keys, the bus' configuration and run files are readable for their owner only."""
    up(settings, detach=True, command=TINY)
    home = Path(settings.home)
    for name in ("logs", "keys", "nats", "run", "tls", "ca"):
        assert (home / name).stat().st_mode & 0o077 == 0
    assert (home / "nats" / "nats.conf").stat().st_mode & 0o077 == 0


def test_real_servers_are_used_instead_of_embedded_ones(settings: Settings) -> None:
    """With addresses of a NATS server and a database of somebody else's, none of our own are started; streams and schemas are made there."""
    with nats_server() as bus, postgres_server() as database:
        theirs = settings.model_copy(
            update={"nats_url": bus.url.replace("//", "//admin:test@"), "postgres_dsn": f"{database.dsn()}?application_name=slipway"}
        )
        up(theirs, detach=True, command=TINY)
        found = status(theirs)
        assert found.ready
        assert {each.name for each in found.processes} == EXPECTED - {"nats", "postgres"}
        assert asyncio.run(applied_migrations(database.dsn())) > 0
        assert down(theirs).was_running


def test_a_server_of_somebody_elses_that_is_away_is_named(settings: Settings) -> None:
    """With its address and without the password, long before a start is given up."""
    place = f"127.0.0.1:{free_port()}"
    theirs = settings.model_copy(update={"nats_url": f"nats://admin:s3cret@{place}"})
    began = time.monotonic()
    with pytest.raises(StartFailed) as failed:
        up(theirs, detach=True, command=TINY)
    assert time.monotonic() - began < 25
    assert f"NATS at nats://{place} (SLIPWAY_NATS_URL) cannot be used: the connection is refused." in str(failed.value)
    assert "s3cret" not in str(failed.value)


async def applied_migrations(dsn: str) -> int:
    """How many auth's schema has."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM auth.migrations"))
    finally:
        await connection.close()
