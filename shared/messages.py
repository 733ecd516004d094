"""The envelope of everything that crosses the bus, and its form on the wire.

A message travels as JSON with CloudEvents 1.0 binary headers (`ce-*`), `Nats-Msg-Id` for the
stream's deduplication, and `traceparent` (W3C Trace Context). Readers ignore fields that they do
not know; a change that breaks readers is a new class with a higher version.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from time import time_ns
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")]
"""An immutable ASCII name that is safe in subjects, paths and host names."""

NONE = "_"
"""What stands in a subject for "no value"."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
"""Two characters at a time: ids are made for every message."""


_chance = Random()  # noqa: S311 -- ids are told apart, and keep nothing secret; asking the system for each costs more than the rest
os.register_at_fork(after_in_child=_chance.seed)


def new_id() -> str:
    """A new identifier of 26 characters: sorts by creation time to the nanosecond (ULID, lower case), safe in a subject or a label.

    A ULID has 48 bits of milliseconds and 80 of chance: the upper 20 of these tell the time within the millisecond.
    """
    milliseconds, nanoseconds = divmod(time_ns(), 1_000_000)
    value = milliseconds << 80 | nanoseconds << 60 | _chance.getrandbits(60)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def utc_now() -> datetime:
    """The current time, with its zone."""
    return datetime.now(UTC)


class UnknownType(ValueError):
    """A message of a type or version that this reader does not know: another replica, of a newer version, may."""


class Frozen(BaseModel):
    """Base of every value in a message: immutable, and tolerant of fields from newer writers."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")


class Message(Frozen):
    """One message: who it is, when it was written, what caused it, and which deployment and step it belongs to."""

    version: ClassVar[int] = 1

    id: str = Field(default_factory=new_id)
    time: datetime = Field(default_factory=utc_now)
    cause: str | None = None
    deployment: str | None = None
    step: str | None = None

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents type: `slipway.<ClassName>.v<version>`."""
        return f"slipway.{cls.__name__}.v{cls.version}"

    @classmethod
    def has_type(cls, name: str) -> bool:
        """Whether a message of this CloudEvents type is one of this class, of this version."""
        return name == cls.type_name()

    def encode(self) -> bytes:
        """The body on the wire."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, body: bytes | str) -> Self:
        """Reads a body; raises `pydantic.ValidationError` where it is not such a message."""
        return cls.model_validate_json(body)

    def headers(self, source: str, *, message_id: str | None = None) -> dict[str, str]:
        """The headers on the wire; `message_id` replaces the id for a message that is sent again."""
        sent_as = message_id or self.id
        return {
            "ce-specversion": "1.0",
            "ce-id": self.id,
            "ce-source": f"slipway/{source}",
            "ce-type": self.type_name(),
            "ce-time": self.time.isoformat().replace("+00:00", "Z"),
            "ce-datacontenttype": "application/json",
            "Nats-Msg-Id": sent_as,
        }


def type_of(headers: Mapping[str, str] | None) -> str | None:
    """The CloudEvents type that a received message claims, if any."""
    return (headers or {}).get("ce-type")


M = TypeVar("M", bound=Message)


def decode_as(kind: type[M], headers: Mapping[str, str] | None, body: bytes | str) -> M:
    """Reads a received message; raises `UnknownType` where its type says that it is of another class or version, else as `decode`.

    One that claims no type is what its body says: every version writes one, so no other would know more of it.
    """
    name = type_of(headers)
    if name is not None and not kind.has_type(name):
        raise UnknownType(f"unknown {kind.__name__} {name}")
    return kind.decode(body)
