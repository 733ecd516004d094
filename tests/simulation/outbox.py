"""The outbox of a service and its relay, as `shared.outbox` and `shared.relay` do it: written with the state, handed to the relay in
memory after the commit, found in the table where that is lost, sent again where a stream lost its end or is a new one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from shared import outbox as shared_outbox
from shared.outbox import Outgoing
from tests.simulation.streams import Stream, Unavailable
from tests.simulation.tasks import IDLE, Nap, Party, Steps
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

REMEMBER_S = 60.0
LOST_ROUNDS = 4
PAUSE_S = 0.5
POLL_S = 0.25
LOCK_S = 1.0
BATCH = 64
HANDED_MOST = 12
"""So few that there is often no room for more."""
MESSAGE_ID = "Nats-Msg-Id"


class Disconnected(Exception):
    """The database has ended the connection, or a statement has taken too long: nothing of its transaction was written."""


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
    publisher: "Relay | None" = None
    """Who has the advisory lock."""
    relays: "list[Relay]" = field(default_factory=list)

    @property
    def unsafe(self) -> bool:
        """Streams may have lost what nobody has looked for yet."""
        return self.publisher is None or self.publisher.check

    def add(self, messages: Iterable[Outgoing], now: float) -> list[shared_outbox.Row]:
        """In the transaction of the caller, who hands the rows to the relay after it. One that is handed nothing looks by itself."""
        added = []
        for outgoing in messages:
            name = outgoing.message_id
            hold(name not in self.rows, f"a second message with the id {name}")
            self.rows[name] = self.unsent[name] = Row(outgoing, outgoing.open)
            added.append(shared_outbox.Row(len(self.rows), outgoing.stream, outgoing.subject, {MESSAGE_ID: name}, b""))
        if added and self.publisher is not None:
            self.publisher.task.wake(now + POLL_S)
        return added

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
    """Publishes one outbox, one relay at a time. Lives in one process, and forgets with it."""

    world: "World"
    outbox: Outbox
    party: Party
    memory: shared_outbox.Outbox = field(default_factory=lambda: shared_outbox.Outbox("", HANDED_MOST))
    """What was handed over: the real one."""
    check: bool = True
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    round: int = 0
    _remember_at: float = 0.0
    _look_at: float = 0.0

    def __post_init__(self) -> None:
        self.task = self.party.spawn("relay", self.run(), self.world.now)
        self.outbox.relays = [*(other for other in self.outbox.relays if other.party is not self.party), self]

    def run(self) -> Steps[None]:
        """For ever: has the lock, or waits for it."""
        while True:
            if self.outbox.publisher is not None:
                yield IDLE
                continue
            self.outbox.publisher, self.check = self, True
            try:
                yield from self._publish()
            except (Unavailable, Disconnected):
                pass
            finally:
                self.let_go()
            yield PAUSE_S

    def _publish(self) -> Steps[None]:
        while True:
            yield from self._publish_waiting()
            if self.world.now >= self._remember_at and self.world.bus.up:
                self.remember()
            yield 0.0 if self.check else Nap(max(self._look_at - self.world.now, 0.0)) if self.outbox.unsent else IDLE

    def let_go(self) -> None:
        """Its connection is gone, and the lock with it: others have it a moment later."""
        if self.outbox.publisher is self:
            self.outbox.publisher = None
            for other in self.outbox.relays:
                other.task.wake(self.world.now + (POLL_S if other is self else LOCK_S))

    def still_has_the_lock(self) -> None:
        """What it asks of the database it asks on the connection that has it. Raises `Disconnected`."""
        if self.outbox.publisher is not self:
            raise Disconnected

    def wake(self, rows: Sequence[shared_outbox.Row] | None = None) -> None:
        """These were committed; without rows: something was."""
        self.memory.wake(rows)
        if self.outbox.publisher is self:
            self.task.wake(self.world.now)

    def hand_over(self, rows: Sequence[shared_outbox.Row] | None = None) -> Steps[None]:
        """The same, after a stop: whoever dies there loses the hand-over, and no row."""
        yield 0.0
        self.wake(rows)

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
            self.still_has_the_lock()
            if self.check:
                self.look_for_losses()
                self.check, self._look_at = False, 0.0
                yield 0.0
            names = self.waiting()
            if not names:
                return
            yield from self.publish(names)

    def waiting(self) -> list[str]:
        """What was handed over; from time to time, and where more was written than that, what the table has."""
        handed, more = self.memory.handed()
        if not more and self.world.now < self._look_at:
            return [row.headers[MESSAGE_ID] for row in handed]
        names = list(self.outbox.unsent)[:BATCH]
        self._look_at = 0.0 if len(names) == BATCH else self.world.now + POLL_S
        return names

    def publish(self, names: list[str]) -> Steps[None]:
        """Publishes, then marks what the stream has said that it has."""
        yield 0.0
        sent, failure, before = [], None, dict(self._seen)
        for name in names:
            try:
                self._publish_one(name, before)
            except Unavailable as error:
                failure = error
            else:
                sent.append(name)
        yield 0.0
        self.mark(sent)
        if failure is not None:
            raise failure

    def mark(self, sent: Iterable[str]) -> None:
        """The stream has these."""
        self.still_has_the_lock()
        for name in sent:
            self.outbox.sent(name, self.round)

    def _publish_one(self, name: str, before: dict[str, tuple[int, int]]) -> None:
        hold(name in self.outbox.rows, f"{name} was published, and its transaction is not committed")
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
