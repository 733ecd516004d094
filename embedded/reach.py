"""Waits until a server answers. Of one that does not it is said which, where it is, and why; never its password."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import asyncpg
from nats.errors import Error as NatsError

from shared.postgres import UNAVAILABLE

_LIMIT = 30.0
_REFUSED_LIMIT = 5.0
"""Seconds for somebody else's server of which there is nothing yet: it may be starting, as after the machine's own start."""
_PAUSE = 0.02
_PAUSE_OF_OTHERS = 0.5


class ServerUnusable(Exception):
    """A server does not come up, or says no."""


@dataclass(frozen=True)
class Server:
    """A server that is waited for."""

    name: str
    url: str
    variable: str | None
    """What named it; None for our own, which is started meanwhile."""

    def __str__(self) -> str:
        return self.name if self.variable is None else f"{self.name} at {place(self.url)} ({self.variable})"


async def until_it_answers(server: Server, attempt: Callable[[], Awaitable[Exception | None]]) -> None:
    """Tries until `attempt` finds nothing wrong. Raises ServerUnusable: at once where the server says no, else when patience ends."""
    began = monotonic()
    while (failure := await attempt()) is not None:
        if monotonic() - began >= _patience(failure, ours=server.variable is None):
            raise ServerUnusable(f"{server} cannot be used: {_reason(failure)}.")
        await asyncio.sleep(_PAUSE if server.variable is None else _PAUSE_OF_OTHERS)


def place(url: str) -> str:
    """Where a server is, without who asks there: fit to be shown, also where a password is not encoded as it should be."""
    scheme, separator, rest = url.partition("://")
    before, _, query = (rest if separator else url).partition("?")
    shown = before.rpartition("@")[2] if "@" not in query else "…"
    return f"{scheme}://{shown}" if separator else shown


def _patience(failure: Exception, *, ours: bool) -> float:
    match failure:
        case ConnectionRefusedError() | FileNotFoundError() | socket.gaierror():
            return _LIMIT if ours else _REFUSED_LIMIT
        case NatsError() if any(word in str(failure).lower() for word in ("authorization", "invalid")):
            return 0.0
        case ValueError():
            return 0.0
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():  # at a start it is nobody's outage
            return 0.0
        case asyncpg.PostgresError() if not isinstance(failure, UNAVAILABLE):
            return 0.0
    return _LIMIT


def _reason(failure: Exception) -> str:
    match failure:
        case ConnectionRefusedError():
            return "the connection is refused"
        case TimeoutError():
            return f"no answer for {_LIMIT:.0f} s"
        case ValueError() if not isinstance(failure, asyncpg.InterfaceError):  # Its words may hold a part of the password.
            return "this address cannot be read; write / # ? @ in user and password as %2F %23 %3F %40"
        case OSError() if failure.strerror:
            return failure.strerror
    return (str(failure) or type(failure).__name__).rstrip(".")
