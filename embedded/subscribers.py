"""Lets outside tools onto the bus: a user each, and the consumer that it may read. Who they are stands in a file that api writes.

api itself may make neither users nor consumers. What a subscriber may touch is worked out here, from its filters
(`shared.subscribers`), so a file that somebody forged opens no more than events of one organization.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from embedded import nats
from shared.subscribers import GATE_PREFIX, PREFIXES, USER_PREFIX, Subscriber, Subscribers

if TYPE_CHECKING:
    from nats.js import JetStreamContext

log = structlog.get_logger()

LOOK_S = 0.5
"""How soon a subscriber that was added or removed is noticed."""
CHECK_S = 30.0
"""How soon a consumer that the server lost is made again."""
_LIMIT = 3.0
"""The supervisor does nothing else meanwhile."""


@dataclass
class Admission:
    """Keeps users and consumers as the file says. `let_in` gives the server its table of users; None where its owner does that."""

    file: Path
    url: str
    administrator: str
    password: str = field(repr=False)
    let_in: Callable[[Sequence[nats.User]], None] | None
    admitted: int = 0
    """How many consumers there are of subscribers."""
    _seen: tuple[int, int] | None = None
    _checked: float = 0.0

    def due(self, now: float) -> bool:
        """Whether the file changed, or a consumer may have been lost since."""
        return self._stamp() != self._seen or now - self._checked >= CHECK_S

    async def settle(self) -> bool:
        """Makes it so. False where the bus is away: it stays due; and where the file cannot be read: until it is another."""
        stamp = self._stamp()
        try:
            known = read(self.file)
            if self.let_in is not None:
                self.let_in(users(known))
        except (OSError, ValidationError) as error:
            log.error("subscribers cannot be let in", error=str(error))
            self._seen, self._checked = stamp, time.monotonic()
            return False

        async def consumers(js: "JetStreamContext") -> None:
            for stream in PREFIXES:
                await _settle(js, stream, {each.user: each for each in known if each.stream == stream})

        if not await nats.holds(self.url, self.administrator, self.password, _LIMIT, consumers):
            return False
        self.admitted, self._seen, self._checked = len(known), stamp, time.monotonic()
        return True

    def _stamp(self) -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            found = self.file.stat()
            return found.st_ino, found.st_mtime_ns
        return None


def read(file: Path) -> tuple[Subscriber, ...]:
    """Everyone in the file; nobody where there is none. Raises `ValidationError` for one that nobody may be."""
    return Subscribers.model_validate_json(file.read_bytes()).subscribers if file.exists() else ()


def users(subscribers: Sequence[Subscriber]) -> list[nats.User]:
    """Their users on the server. The password is a hash, which the server tells by its form."""
    rights = [(each.rights(), each.password_hash) for each in subscribers]
    return [nats.User(user.name, password_hash, user.publish, user.subscribe) for user, password_hash in rights]


async def _settle(js: "JetStreamContext", stream: str, wanted: dict[str, Subscriber]) -> None:
    there = await _there(js, stream)
    for name, identity in there.items():
        if name not in wanted or wanted[name].id != identity:
            await js.delete_consumer(stream, name)
            log.info("subscriber cut off", subscriber=name)
    for name, subscriber in wanted.items():
        if there.get(name) != subscriber.id:
            await js.add_consumer(stream, subscriber.consumer())
            log.info("subscriber let in", subscriber=name)


async def _there(js: "JetStreamContext", stream: str) -> dict[str, str]:
    """The consumers of subscribers that the stream has, and whose each is."""
    found: dict[str, str] = {}
    offset = 0
    while page := await js.consumers_info(stream, offset):
        found |= {each.name: each.config.description or "" for each in page if each.name.startswith((USER_PREFIX, GATE_PREFIX))}
        offset += len(page)
    return found
