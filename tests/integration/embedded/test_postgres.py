"""The embedded PostgreSQL, as its supervisor runs it."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from embedded import database, postgres
from embedded.postgres import PostgresServer
from embedded.servers import with_user
from tests.polling import eventually
from tests.stack import free_port

Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def server(folder: Path) -> PostgresServer:
    """A cluster that was made, not started."""
    made = postgres.locate(folder / "postgres", "slw-test", free_port())
    made.create("secret")
    return made


@pytest.fixture
async def running(server: PostgresServer) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """The server in the foreground, ended as the supervisor ends it."""
    process = await start(server)
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


async def start(server: PostgresServer) -> "subprocess.Popen[bytes]":
    """Start it and wait until it says that it is ready."""
    server.forget_dead()
    account = server.account
    process = subprocess.Popen(
        server.arguments(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=account.uid if account else None,
        group=account.gid if account else None,
    )

    async def ready() -> bool:
        return server.is_ready()

    await eventually(ready)
    return process


def owners(server: PostgresServer) -> set[int]:
    """Whose the files of the cluster are."""
    return {path.stat().st_uid for path in (server.data, *server.data.rglob("*"))}


async def test_a_warm_start_takes_less_than_a_second(server: PostgresServer) -> None:
    """A cluster that exists accepts connections within a second."""
    began = monotonic()
    process = await start(server)
    connection = await asyncpg.connect(server.dsn("postgres", "secret", "postgres"))
    assert monotonic() - began < 60, "hangs"
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


@pytest.mark.usefixtures("running")
async def test_each_role_sees_its_own_schema_only(server: PostgresServer) -> None:
    """A role finds its tables without naming the schema, and may not even look into another's, nor into public."""
    await database.make_database(server.dsn("postgres", "secret", "postgres"))
    await database.make_roles(server.dsn("postgres", "secret"), {"auth": "a", "api": "b"})
    auth = await asyncpg.connect(server.dsn("auth", "a"))
    api = await asyncpg.connect(server.dsn("api", "b"))
    await auth.execute("CREATE TABLE secrets (value text)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.fetch("SELECT * FROM auth.secrets")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute("CREATE TABLE public.x (y int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute("CREATE SCHEMA more")
    await auth.close()
    await api.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(server.dsn("api", "b", "postgres"))


@pytest.mark.usefixtures("running")
async def test_making_roles_again_sets_a_changed_password(server: PostgresServer) -> None:
    """Repeating is safe, and a role whose password was made anew can connect."""
    await database.make_database(server.dsn("postgres", "secret", "postgres"))
    await database.make_roles(server.dsn("postgres", "secret"), {"api": "old"})
    await database.make_roles(server.dsn("postgres", "secret"), {"api": "it's \\ new"})
    await (await asyncpg.connect(with_user(server.dsn("postgres", "secret"), "api", "it's \\ new"))).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn("api", "old"))


async def test_what_was_committed_survives_a_kill(server: PostgresServer) -> None:
    """After kill -9 the next start recovers by itself and has the committed row."""
    process = await start(server)
    connection = await asyncpg.connect(server.dsn("postgres", "secret", "postgres"))
    await connection.execute("CREATE TABLE kept (value int)")
    await connection.execute("INSERT INTO kept VALUES (42)")
    process.kill()
    process.wait()
    connection.terminate()
    process = await start(server)
    connection = await asyncpg.connect(server.dsn("postgres", "secret", "postgres"))
    assert await connection.fetchval("SELECT value FROM kept") == 42
    await connection.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


async def test_whether_it_lives_it_says_itself(server: PostgresServer) -> None:
    """A server that was stopped accepts connections as before, by its kernel, and its pid file says that it is ready."""
    assert not await server.lives()
    process = await start(server)
    assert await server.lives()
    process.send_signal(signal.SIGSTOP)
    assert server.is_ready()
    assert not await server.lives()
    process.send_signal(signal.SIGCONT)
    await eventually(server.lives)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


def test_a_pid_file_with_a_foreign_process_is_forgotten(server: PostgresServer) -> None:
    """After a reboot its number may belong to anybody: it must not refuse the start."""
    server.pid_file.write_text(f"{os.getpid()}\n{server.data}\n")
    server.forget_dead()
    assert not server.pid_file.exists()


def test_an_interrupted_creation_leaves_no_half_cluster(folder: Path) -> None:
    """What initdb left behind when it was killed is thrown away by the next creation."""
    server = postgres.locate(folder / "postgres", "slw-test", free_port())
    half = server.data.with_name(server.data.name + ".new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    assert not server.exists()
    server.create("secret")
    assert server.exists()
    assert not half.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
def test_a_home_that_the_system_user_cannot_reach_gets_a_link(folder: Path) -> None:
    """Under a private folder, such as /root, the cluster lies in /var/lib/slipway, and the home has a link to it."""
    folder.chmod(0o700)
    instance = f"slw-test-{os.getpid()}"
    server = postgres.locate(folder / "postgres", instance, 1)
    try:
        assert server.data == postgres.SYSTEM_FOLDER / instance / "postgres"
        assert (folder / "postgres").readlink() == server.data
        assert postgres.locate(folder / "postgres", instance, 1) == server
    finally:
        server.data.parent.rmdir()
        folder.chmod(0o711)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
async def test_a_backup_can_be_put_back_where_the_system_user_cannot_reach_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/operations.md says, under /root: with the link followed, onto a machine that has another cluster in its place, which is kept."""
    system, home = folder / "system", folder / "root" / "home"
    monkeypatch.setattr(postgres, "SYSTEM_FOLDER", system)
    home.mkdir(parents=True)
    home.parent.chmod(0o700)
    made = postgres.locate(home / "postgres", "slw-test", free_port())
    made.create("secret")
    (made.data / "kept").write_text("by the backup")
    subprocess.run(["tar", "-C", home.parent, "-czf", folder / "backup.tgz", "--dereference", "home"], check=True)
    (made.data / "kept").write_text("since")
    shutil.rmtree(home)
    subprocess.run(["tar", "-C", home.parent, "-xzf", folder / "backup.tgz", "--no-same-owner"], check=True)

    restored = postgres.locate(home / "postgres", "slw-test", made.port)
    assert restored == made
    assert (home / "postgres").readlink() == restored.data
    assert restored.account is not None
    assert owners(restored) == {restored.account.uid}
    assert sorted((path / "kept").read_text() for path in restored.data.parent.iterdir()) == ["by the backup", "since"]
    process = await start(restored)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
def test_a_cluster_that_came_from_another_machine_is_given_to_the_system_user(server: PostgresServer) -> None:
    """There the user had another number, under which the files lie in the backup."""
    for path in (server.data, *server.data.rglob("*")):
        os.chown(path, 4_000_000, 4_000_000)
    assert postgres.locate(server.data, "slw-test", server.port) == server
    assert server.account is not None
    assert owners(server) == {server.account.uid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
def test_binaries_that_the_system_user_cannot_reach_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout in /root works: the copy holds all that initdb and the server need, and is made once."""
    monkeypatch.setattr(postgres, "SYSTEM_FOLDER", folder / "system")
    monkeypatch.setattr(postgres, "_reachable", lambda path: path == folder)
    server = postgres.locate(folder / "postgres", "slw-test", free_port())
    assert server.binaries.is_relative_to(folder / "system")
    server.create("secret")
    assert server.exists()
    assert postgres.locate(folder / "postgres", "slw-test", server.port) == server
    assert len(list((folder / "system").iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
def test_of_two_who_copy_the_binaries_at_once_the_later_uses_what_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two homes that start for the first time together."""
    monkeypatch.setattr(postgres, "SYSTEM_FOLDER", folder / "system")
    monkeypatch.setattr(postgres, "_reachable", lambda path: path == folder)
    rename = Path.rename

    def too_late(ours: Path, copy: Path) -> Path:
        shutil.copytree(ours, copy, symlinks=True)
        return rename(ours, copy)

    monkeypatch.setattr(Path, "rename", too_late)
    server = postgres.locate(folder / "postgres", "slw-test", free_port())
    assert (server.binaries / "postgres").exists()
    assert len(list((folder / "system").iterdir())) == 1
