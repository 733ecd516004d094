"""The way out for programs that connect by themselves, with the real git."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import STDOUT

import pytest

from shared.outbound import Reach
from shared.outbound_gate import Gate, outbound_gate
from shared.subprocesses import spawn
from tests.component.builder.forge import Forge, running_forge

ALLOWED = Reach("Set IT", ("localhost",))
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"}


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A forge on loopback with one empty repository, `todo.git`."""
    with running_forge(tmp_path) as running:
        yield running


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """A gate that lets git call `localhost`, and nothing else that is private."""
    async with outbound_gate(ALLOWED) as opened:
        yield opened


async def ls_remote(gate: Gate, url: str) -> tuple[int | None, str]:
    """Git's status, and what it says."""
    process = await spawn("git", "-c", f"http.proxy={gate.proxy}", "ls-remote", url, env=_ENVIRONMENT, stderr=STDOUT)
    told, _ = await process.communicate()
    return process.returncode, told.decode()


async def make(forge: Forge) -> None:
    """The repository of the forge."""
    process = await spawn("git", "init", "--quiet", "--bare", str(forge.root / "todo.git"), env=_ENVIRONMENT)
    assert await process.wait() == 0


async def test_git_goes_through_to_what_is_allowed(forge: Forge, gate: Gate) -> None:
    """By the name that the admin gave."""
    await make(forge)
    assert await ls_remote(gate, f"http://localhost:{forge.port}/todo.git") == (0, "")
    assert gate.refused == []
    assert forge.requests


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "[::ffff:127.0.0.1]"])
async def test_git_reaches_nothing_private_that_is_not_named(forge: Forge, gate: Gate, host: str) -> None:
    """Whatever the address is written like; the gate remembers why."""
    await make(forge)
    status, _ = await ls_remote(gate, f"http://{host}:{forge.port}/todo.git")
    assert status
    assert forge.requests == []
    assert "Set IT" in gate.refused[0]


async def test_a_redirect_leads_nowhere_else(forge: Forge, gate: Gate, tmp_path: Path) -> None:
    """A forge that may be called sends git to a private address that may not."""
    await make(forge)
    with running_forge(tmp_path) as hidden:
        forge.redirect = f"http://127.0.0.1:{hidden.port}"
        status, _ = await ls_remote(gate, f"http://localhost:{forge.port}/todo.git")
        assert status
        assert forge.requests
        assert hidden.requests == []
    assert "127.0.0.1" in gate.refused[0]


async def test_a_name_may_not_change_its_address_after_the_check(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is called: a name is resolved once (DNS rebinding)."""
    answers = iter(("127.0.0.2", "127.0.0.1"))

    async def resolve(_host: str, port: int, **_more: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(ConnectionRefusedError):  # nobody listens on 127.0.0.2
        await Gate(Reach("Set IT", ("127.0.0.2",))).connect("rebinding.example", forge.port)
    assert next(answers) == "127.0.0.1"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05"])
async def test_what_is_no_request_ends_the_connection(gate: Gate, said: bytes) -> None:
    """Nonsense, another protocol, a command that is not CONNECT."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(said)
    writer.write_eof()
    async with asyncio.timeout(5):
        assert len(await reader.read()) <= 12
    writer.close()
    await writer.wait_closed()
