"""What the bus says of subscribers' consumers. api may look at them, and make, change or read none."""

from dataclasses import dataclass
from datetime import datetime

from nats.js.errors import NotFoundError

from shared.bus import UNAVAILABLE, Bus

_LIMIT_S = 2.0


@dataclass(frozen=True)
class ConsumerState:
    """How far a subscriber is."""

    waiting: int
    """Events that it has not been given yet."""
    unacknowledged: int
    """Events that it was given and has not acknowledged."""
    acknowledged: int
    """Number of the last event in the stream before which it has acknowledged all of its own; 0: none."""


class Consumers:
    """Consumers of subscribers, by their users' names, which are theirs too."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def state(self, stream: str, user: str, identity: str) -> ConsumerState | None:
        """None where it is not there (yet, or any more), or the bus does not say."""
        try:
            found = await self._bus.js.consumer_info(stream, user, timeout=_LIMIT_S)
        except UNAVAILABLE:
            return None
        if found.config.description != identity:
            return None
        floor = found.ack_floor.stream_seq if found.ack_floor else 0
        return ConsumerState(found.num_pending or 0, found.num_ack_pending or 0, floor or 0)

    async def stored_at(self, stream: str, sequence: int) -> datetime | None:
        """When an event was stored; None where it is not there any more. Raises one of `shared.bus.UNAVAILABLE`."""
        try:
            return (await self._bus.js.get_msg(stream, sequence, direct=True)).time
        except NotFoundError:
            return None
