"""The outbox: messages are written in the transaction that causes them, and published by the schema's relay (`shared.relay`).

Ids are frozen when a message is written, so that sending again is harmless. Order is not promised; events carry a sequence number.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.contracts.changes import Change
from shared.contracts.commands import Command
from shared.contracts.events import Event
from shared.contracts.requests import Request
from shared.contracts.steps import KIND_OF, command_subject
from shared.messages import Message
from shared.postgres import Connection
from shared.telemetry import trace_headers

HANDED_MOST = 1000
"""Rows that wait in memory for the relay; those beyond are found in the table."""

_ADD = """
INSERT INTO outbox (id, stream, subject, headers, body, open)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::bool[])
ON CONFLICT (id) DO NOTHING
RETURNING position, id
"""


@dataclass(frozen=True)
class Outgoing:
    """A message with the stream and subject that it goes to; `open` ones are sent again until they are closed."""

    stream: str
    subject: str
    message: Message
    message_id: str
    open: bool = False
    traceparent: str | None = None
    """The span that it belongs to; None: the one that is current when it is written."""


@dataclass(frozen=True)
class Row:
    """One row of the outbox, as it is published."""

    position: int
    stream: str
    subject: str
    headers: dict[str, str]
    body: bytes


Columns = tuple[list[str], list[str], list[str], list[str], list[str], list[bool]]
"""Id, stream, subject, headers, body, open."""


def outgoing(message: Message, traceparent: str | None = None) -> Outgoing:
    """Where a message goes, by its class; raises `TypeError` for one that has no place on the bus."""
    match message:
        case Event():
            return Outgoing("EVENTS", message.subject, message, message.id, traceparent=traceparent)
        case Command():
            subject = command_subject(message, KIND_OF[type(message)])
            return Outgoing("COMMANDS", subject, message, message.attempt_id, open=True, traceparent=traceparent)
        case Change():
            subject = f"slipway.chg.{message.organization}.{message.connection}"
            return Outgoing("CHANGES", subject, message, message.id, open=True, traceparent=traceparent)
        case Request():
            subject = f"slipway.req.{message.organization}.{message.verb}"
            return Outgoing("REQUESTS", subject, message, message.id, traceparent=traceparent)
        case _:
            raise TypeError(f"{type(message).__name__} has no place on the bus")


class Outbox:
    """Writes messages of one service; `source` is the service's name."""

    def __init__(self, source: str, handed_most: int = HANDED_MOST) -> None:
        self.source = source
        self._handed_most = handed_most
        self.written = asyncio.Event()
        self._handed: list[Row] = []
        self._look = True

    async def add(self, connection: Connection, messages: Iterable[Message | Outgoing]) -> list[Row]:
        """Writes the messages in the caller's transaction; the rows that are new. Call `wake` once it has committed."""
        columns = self.columns(messages)
        if not columns[0]:
            return []
        positions = {row["id"]: row["position"] for row in await connection.fetch(_ADD, *columns)}
        ids, streams, subjects, headers, bodies, _ = columns
        return [
            Row(positions[name], stream, subject, json.loads(header), body.encode())
            for name, stream, subject, header, body in zip(ids, streams, subjects, headers, bodies, strict=True)
            if name in positions
        ]

    def columns(self, messages: Iterable[Message | Outgoing]) -> Columns:
        """The rows as columns, for a statement of the caller's own."""
        rows = [message if isinstance(message, Outgoing) else outgoing(message) for message in messages]
        trace = trace_headers()
        return (
            [row.message_id for row in rows],
            [row.stream for row in rows],
            [row.subject for row in rows],
            [json.dumps(row.message.headers(self.source, message_id=row.message_id) | (_trace(row) or trace)) for row in rows],
            [row.message.encode().decode() for row in rows],
            [row.open for row in rows],
        )

    def wake(self, rows: Sequence[Row] | None = None) -> None:
        """Tells this process's relay that something was committed: these rows, or, without them, what it has to look for."""
        if rows is None or len(self._handed) + len(rows) > self._handed_most:
            self._look = True
        else:
            self._handed += rows
        self.written.set()

    def handed(self) -> tuple[list[Row], bool]:
        """What was handed over since it was asked last, and whether there may be more in the table. It is forgotten here."""
        rows, look = self._handed, self._look
        self._handed, self._look = [], False
        return rows, look


def _trace(row: Outgoing) -> dict[str, str] | None:
    return {"traceparent": row.traceparent} if row.traceparent else None
