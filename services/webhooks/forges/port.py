"""What intake needs of a forge. One file a forge beside this one; `forges.FORGES` is the table of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.webhooks.domain import Push

Headers = Mapping[str, str]
"""Request headers, names in lower case."""


class Unreadable(ValueError):
    """The body is not what the forge's documentation says; the text says what is missing."""


@dataclass(frozen=True)
class Identity:
    """What tells a delivery from others on its connection: a redelivery has the same. `key` empty: the forge sent none."""

    hook: str
    key: str
    event: str


@dataclass(frozen=True)
class Reading:
    """What a delivery says: pushes, or why there are none."""

    pushes: tuple[Push, ...] = ()
    ignored: str = ""


class Forge(Protocol):
    """Reads one forge's deliveries. Without state and without I/O."""

    def identify(self, headers: Headers) -> Identity:
        """Which delivery it is."""
        ...

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """Whether one of the secrets signed these very bytes; in constant time."""
        ...

    def read(self, headers: Headers, body: bytes) -> Reading:
        """What it says; raises `Unreadable`."""
        ...
