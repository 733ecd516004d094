"""What intake needs of a forge. One file a forge beside this one; `forges.FORGES` is the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.webhooks.domain import ChangeRequest, Push
from services.webhooks.forges.document import Document, Headers


@dataclass(frozen=True)
class Identity:
    """What tells a delivery from others on its connection: a redelivery has the same. `key` empty: the forge sent none."""

    hook: str
    key: str
    event: str


@dataclass(frozen=True)
class Reading:
    """What a delivery says: refs that moved, what happened to a change request, or why it is neither."""

    pushes: tuple[Push, ...] = ()
    request: ChangeRequest | None = None
    ignored: str = ""


class Forge(Protocol):
    """Reads one forge's deliveries, and its list of change requests. Without state and without I/O; its constructor takes no arguments."""

    def identify(self, headers: Headers) -> Identity:
        """Which delivery it is."""
        ...

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """Whether one of the secrets signed these very bytes, or came with them; in constant time."""
        ...

    def read(self, headers: Headers, body: bytes) -> Reading:
        """What it says; raises `Unreadable`."""
        ...

    def listed(self, item: Document, repository: str) -> ChangeRequest:
        """An open change request of the repository, as the forge's API lists it, by its author; raises `Unreadable`."""
        ...


def unknown(event: str) -> Reading:
    """The answer to events that lead to nothing."""
    return Reading(ignored=f"Slipway does not act on the event {event[:50]!r}; pushes and change requests are what it reads")
