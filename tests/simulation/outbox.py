"""The outbox of a service and its relay, as `shared.outbox` and `shared.relay` do it: written with the state, published afterwards,
sent again where a stream lost its end or is a new one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from shared.outbox import Outgoing
from tests.simulation.streams import Stream, Unavailable
from tests.simulation.tasks import IDLE, Steps, Task
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

REMEMBER_S = 60.0
LOST_ROUNDS = 4
PAUSE_S = 0.5
BATCH = 64


@dataclass(eq=False)
class Row:
    """A message to be published."""

    outgoing: Outgoing
    open: bool
    sent_in: int | None = None
    """The round of the relay."""


@dataclass
class Outbox:
    """The rows of one service. What is in here survives every crash."""

    rows: dict[str, Row] = field(default_factory=dict)
    unsent: dict[str, Row] = field(default_factory=dict)
    streams: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Stream → when it was created, its last sequence, and the last round of which all is well."""
    relays: list[Task] = field(default_factory=list)

    def add(self, outgoing: Outgoing, now: float) -> None:
        """In the transaction of the caller."""
        known = self.rows.get(outgoing.message_id)
        hold(known is None, f"a second message with the id {outgoing.message_id}")
        self.rows[outgoing.message_id] = self.unsent[outgoing.message_id] = Row(outgoing, outgoing.open)
        for relay in self.relays:
            relay.wake(now)

    def close(self, ids: Iterable[str]) -> None:
        """They need not be sent again, nor at all."""
        for name in ids:
            row = self.rows.get(name)
            if row is not None and row.open:
                row.open = False
                if row.sent_in is None:
                    self.sent(name, 0)

    def sent(self, name: str, in_round: int) -> None:
        """The stream has it."""
        self.rows[name].sent_in = in_round
        self.unsent.pop(name, None)

    def again(self, stream: str, since: float) -> None:
        """What readers of a stream may lack: all that is open, and the rest since that round."""
        for name, row in self.rows.items():
            of_steps = stream in {"COMMANDS", "CHANGES"}
            if row.outgoing.stream == stream and row.sent_in is not None and (row.open or (not of_steps and row.sent_in >= since)):
                row.sent_in = None
                self.unsent[name] = row


@dataclass(eq=False)
class Relay:
    """Publishes one outbox. Lives in one process, and forgets with it."""

    world: "World"
    outbox: Outbox
    check: bool = True
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    round: int = 0
    _remember_at: float = 0.0

    def run(self) -> Steps[None]:
        """For ever."""
        while True:
            try:
                yield from self._publish_waiting()
            except Unavailable:
                self.check = True
                yield PAUSE_S
                continue
            if self.world.now >= self._remember_at and self.world.bus.up:
                self.remember()
            yield 0.0 if self.check else IDLE

    def remember(self) -> None:
        """All is well until now."""
        for name, (created, sequence) in self._seen.items():
            self.outbox.streams[name] = (created, sequence, self.round)
        self.round += 1
        self._remember_at = self.world.now + REMEMBER_S

    def lost_since(self, stream: Stream) -> float:
        """What was sent from that round on may be lost."""
        created, _, well_in = self.outbox.streams.get(stream.name, (-1, 0, 0))
        return -inf if stream.created != created else well_in - LOST_ROUNDS

    def _publish_waiting(self) -> Steps[None]:
        while True:
            if self.check:
                self.look_for_losses()
                self.check = False
                yield 0.0
            names = list(self.outbox.unsent)[:BATCH]
            if not names:
                return
            yield from self.publish(names)

    def publish(self, names: list[str]) -> Steps[None]:
        """Publishes, then marks what the stream has said that it has."""
        sent, failure, before = [], None, dict(self._seen)
        for name in names:
            try:
                self._publish_one(name, before)
            except Unavailable as error:
                failure = error
            else:
                sent.append(name)
        yield 0.0
        for name in sent:
            self.outbox.sent(name, self.round)
        if failure is not None:
            raise failure

    def _publish_one(self, name: str, before: dict[str, tuple[int, int]]) -> None:
        outgoing = self.outbox.rows[name].outgoing
        said = self.world.bus.publish(outgoing.stream, name, outgoing.subject, outgoing.message)
        if outgoing.stream not in before:
            self.check = True
        elif said is not None and not said.duplicate:
            created, sequence = before[outgoing.stream]
            if said.sequence <= sequence:
                self.check = True
            self._seen[outgoing.stream] = (created, max(said.sequence, self._seen[outgoing.stream][1]))

    def look_for_losses(self) -> None:
        """At the start, after a reconnect, and where a sequence went backwards."""
        if not self.world.bus.up:
            raise Unavailable
        self.round = max(self.round, *(noted + 1 for _, _, noted in self.outbox.streams.values()), 1)
        for name in sorted({row.outgoing.stream for row in self.outbox.rows.values()}):
            stream = self.world.bus.streams[name]
            self.outbox.again(name, self.lost_since(stream))
            self.outbox.streams[name] = (stream.created, stream.last, self.round)
            self._seen[name] = (stream.created, stream.last)
