"""NATS and PostgreSQL of one start: our own, ready to be started, or somebody else's, by their address."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from embedded import health, nats, postgres, processes
from embedded.children import Child
from embedded.home import Home
from embedded.settings import Settings
from embedded.subscribers import Admission, read, users
from shared import topology

_END_LIMIT = 15.0


@dataclass(frozen=True)
class Bus:
    """The bus: its address, its administrator, everyone's passwords, and the server to run, if it is ours."""

    url: str
    administrator: str
    passwords: Mapping[str, str]
    child: Child | None
    admission: Admission
    """Lets subscribers in."""


@dataclass(frozen=True)
class Database:
    """The database: as who may make roles, as each service, and the server to run, if it is ours."""

    administrator_dsn: str
    maintenance_dsn: str | None
    """Where the database itself can be made; None where it is somebody else's."""
    passwords: Mapping[str, str]
    dsns: Mapping[str, str]
    child: Child | None


def bus(settings: Settings, home: Home, monitor_port: int) -> Bus:
    """The bus that SLIPWAY_NATS_URL names, or our own: users and configuration written, a left-over server ended."""
    if settings.nats_url is not None:
        url = urlsplit(settings.nats_url)
        user = url.username or ""
        password = url.password or ""
        admission = Admission(home.subscribers, settings.nats_url, user, password, None)
        return Bus(settings.nats_url, user, {user: password}, None, admission)
    users = topology.users(settings.target)
    names = [nats.ADMINISTRATOR, *(user.name for user in users)]
    passwords = nats.credentials(home.nats / "credentials.json", names)
    administrator = passwords[nats.ADMINISTRATOR]
    server = nats.NatsServer(home.nats, settings.nats_port, monitor_port)
    processes.end_left_over(server.pid_file, str(server.configuration), signal.SIGTERM, _END_LIMIT)
    services = [nats.User(user.name, passwords[user.name], user.publish, user.subscribe) for user in users]
    own = [nats.administrator(administrator), *services]
    server.write_configuration([*own, *_known_subscribers(home)])

    def let_in(subscribers: Sequence[nats.User]) -> None:
        """The server closes the connections of users who are gone. One that does not run reads the table when it starts."""
        if server.write_configuration([*own, *subscribers]) and child.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGHUP)

    admission = Admission(home.subscribers, server.url, nats.ADMINISTRATOR, administrator, let_in)

    async def is_well() -> bool:
        if server.gave_up_writing():
            processes.end_left_over(server.pid_file, str(server.configuration), signal.SIGTERM, _END_LIMIT)
            return False
        return await nats.is_whole(server.url, nats.ADMINISTRATOR, administrator, settings.target, admission.admitted)

    child = Child(
        "nats",
        processes.program(server.arguments(), {"PATH": os.defpath}, None, signal.SIGTERM),
        home.logs / "nats.log",
        is_well,
        lambda: health.lives(monitor_port),
    )
    return Bus(server.url, nats.ADMINISTRATOR, passwords, child, admission)


def _known_subscribers(home: Home) -> list[nats.User]:
    """Those who may come in before anybody asks. What is wrong in their file is said when they are let in."""
    try:
        return users(read(home.subscribers))
    except (OSError, ValueError):
        return []


def database(settings: Settings, home: Home, roles: Sequence[str], port: int) -> Database:
    """The database that SLIPWAY_POSTGRES_DSN names, or our own: the cluster made, a left-over server ended."""
    known = nats.credentials(home.keys / "postgres.json", [postgres.ADMINISTRATOR, *roles])
    passwords = {role: known[role] for role in roles}
    if settings.postgres_dsn is not None:
        dsn = settings.postgres_dsn
        return Database(dsn, None, passwords, {role: with_user(dsn, role, passwords[role]) for role in roles}, None)
    server = postgres.locate(home.postgres, home.instance, port)
    processes.end_left_over(server.pid_file, str(server.data), signal.SIGINT, _END_LIMIT)
    administrator = known[postgres.ADMINISTRATOR]
    if not server.exists():
        server.create(administrator)

    async def is_well() -> bool:
        return server.is_ready() and await server.lives()

    child = Child(
        "postgres",
        processes.program(server.arguments(), {"LC_ALL": "C"}, server.account, signal.SIGINT),
        home.logs / "postgres.log",
        is_well,
        server.lives,
        before_start=server.forget_dead,
        stop_signal=signal.SIGINT,
    )
    return Database(
        server.dsn(postgres.ADMINISTRATOR, administrator),
        server.dsn(postgres.ADMINISTRATOR, administrator, "postgres"),
        passwords,
        {role: server.dsn(role, passwords[role]) for role in roles},
        child,
    )


def with_user(dsn: str, user: str, password: str) -> str:
    """The same database as another role."""
    parts = urlsplit(dsn)
    query = {name: values for name, values in parse_qs(parts.query).items() if name not in ("user", "password")}
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password)}@{address}", query=urlencode(query, doseq=True)))
