"""Dead letters: what a service gave up, and how that very service gets it again.

A letter keeps the message as it was, with where it came from and why it was given up, and a seal that only its service
can make (an HMAC under a key of its own). Api keeps letters, and where an admin asks for it publishes one again on
`slipway.again.<stream>.<durable>.<letter>`, which is in the same stream and is read by that durable alone. The service
takes it for the message that it was where the seal is its own: api can neither forge nor change one. ADR 6.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.bus import Bus, TooLarge
from shared.messages import Message, new_id
from shared.outbox import Outgoing
from shared.telemetry import DEAD
from shared.topology import again_subject, is_again

log = structlog.get_logger()

SUBJECT, STREAM, DURABLE = "slipway-subject", "slipway-stream", "slipway-durable"
ERROR, REASON, SEAL = "slipway-error", "slipway-reason", "slipway-seal"
_OWN = "slipway-"
LONGEST_REASON = 500


class NotOurs(ValueError):
    """What should be taken again is not what this service gave up."""


@dataclass(frozen=True)
class Delivered:
    """A message as it was when it was first sent, and the durable that brought it."""

    stream: str
    durable: str
    subject: str
    headers: Mapping[str, str]
    body: bytes


def delivered(bus: Bus, durable: str, raw: Msg) -> Delivered:
    """What a durable has brought; of a letter that comes again, the message that was given up.

    Raises `NotOurs` where it is not, to the byte, what this service gave up from this durable.
    """
    came = as_it_came(durable, raw)
    if not is_again(raw.subject):
        return came
    was, seal = came.headers.get(SUBJECT, ""), came.headers.get(SEAL, "")
    meant = replace(came, subject=was, headers={name: value for name, value in came.headers.items() if not name.startswith(_OWN)})
    if not hmac.compare_digest(_seal(bus.secret, meant), seal):
        raise NotOurs("it is not what this service gave up: its seal is not this service's own")
    log.info("dead letter taken again", durable=durable, subject=was, letter=raw.subject.rpartition(".")[2])
    return meant


def as_it_came(durable: str, raw: Msg) -> Delivered:
    """What a durable has brought, whatever it claims to be."""
    return Delivered(raw.metadata.stream, durable, raw.subject, dict(raw.headers or {}), raw.data)


async def bury(bus: Bus, lost: Delivered, error: BaseException, why: str | None = None) -> None:
    """Publishes a message to DEADLETTERS, and counts it. `why` replaces the error's own words where they may hold secrets."""
    reason = " ".join((_words(error) if why is None else why).split())[:LONGEST_REASON]
    letter = _kept(lost.headers) | {
        SUBJECT: lost.subject,
        STREAM: lost.stream,
        DURABLE: lost.durable,
        ERROR: type(error).__name__,
        REASON: _ascii(reason),
        SEAL: _seal(bus.secret, lost),
        "Nats-Msg-Id": new_id(),
    }
    try:
        await bus.publish_raw(f"slipway.dead.{bus.user}", lost.body, letter)
    except TooLarge:  # with the letter's own headers: what is known of it is kept, and it cannot be sent again
        reason = f"{reason}; the message itself is too large to be kept"
        about = {name: value for name, value in letter.items() if name.startswith(_OWN)}
        await bus.publish_raw(f"slipway.dead.{bus.user}", b"", about | {REASON: _ascii(reason), "Nats-Msg-Id": new_id()})
    DEAD.labels(lost.durable).inc()
    log.error("dead letter", durable=lost.durable, subject=lost.subject, error=type(error).__name__, reason=reason)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _words(error: BaseException) -> str:
    """What is wrong, without the values: they are in the message, and may be what nobody is to see."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}" for each in found)


class Again(Message):
    """A letter's message once more. On the wire it is the message that it was, with its letter's seal."""

    was: dict[str, str]
    body: str

    def encode(self) -> bytes:
        """The body that it had."""
        return self.body.encode()

    def headers(self, source: str, *, message_id: str | None = None) -> dict[str, str]:  # noqa: ARG002 -- they are those that it had
        """The headers that it had. The message's own id stays, the stream's deduplication gets another: it swallows none."""
        return self.was | {"Nats-Msg-Id": message_id or self.id}


def again(headers: Mapping[str, str], body: str, letter: int, time: int) -> Outgoing:
    """A letter's message for the outbox; `time` counts how often it was asked for."""
    message_id = f"again.{letter}.{time}"
    was = _kept(headers) | {SUBJECT: headers[SUBJECT], SEAL: headers[SEAL]}
    subject = again_subject(headers[STREAM], headers[DURABLE], str(letter))
    return Outgoing(headers[STREAM], subject, Again(id=message_id, was=was, body=body), message_id)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith(("Nats-", _OWN))}


def _seal(secret: bytes, what: Delivered) -> str:
    """Without the trace: what is sent again belongs to that of the wish to send it."""
    headers = sorted((name, value) for name, value in _kept(what.headers).items() if name != "traceparent")
    text = json.dumps([what.durable, what.subject, headers, hashlib.sha256(what.body).hexdigest()])
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
