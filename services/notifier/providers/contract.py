"""What a provider gets and what it says."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from services.notifier.channels import Channel
from services.notifier.deployments import Deployment
from shared.contracts.events import Event


@dataclass(frozen=True)
class Notification:
    """One event that one channel is to hear of."""

    id: str
    event: Event
    source: str
    """The service that wrote the event."""
    deployment: Deployment | None
    """What the event's deployment is about, where it has one and that is known."""
    outside: str = ""
    """The CDEvent that is told in the event's place, as it is on the bus."""


class Outcome(StrEnum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    """The receiver has it."""
    RETRY = "retry"
    """Not now; another time it may."""
    SKIPPED = "skipped"
    """There is nothing to tell (any more)."""
    GONE = "gone"
    """The receiver wants nothing more, ever."""
    REFUSED = "refused"
    """It does not take what the channel shows as its right: said once, and nothing is sent for a while or until the channel changes."""
    HOPELESS = "hopeless"
    """Trying again would not help."""


@dataclass(frozen=True)
class Verdict:
    """What came of one attempt. `error` is for the user and holds no secret."""

    outcome: Outcome
    status: int | None = None
    error: str = ""
    wait: timedelta | None = None
    """What the receiver asked for before the next attempt."""
    hold: bool = False
    """Whether the wait holds for everything that goes through the channel."""


class Provider(Protocol):
    """One way to tell somebody."""

    async def deliver(self, notification: Notification, channel: Channel) -> Verdict:
        """Tries once, within half a minute. Raises nothing that it expects."""
        ...
