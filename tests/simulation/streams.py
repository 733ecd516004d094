"""The bus as JetStream behaves: work queues that deliver at least once, a window of known message ids, streams that lose
their end in a power cut or are new ones, publishes without a word, and core NATS, which may lose anything."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.tasks import Task

if TYPE_CHECKING:
    from tests.simulation.world import World

DEDUPLICATED_S = 120.0
ACK_WAIT_S = 15.0


class Unavailable(Exception):
    """The bus gave no word."""


@dataclass(frozen=True)
class Stored:
    """A message in a stream."""

    sequence: int
    message_id: str
    subject: str
    body: object


@dataclass(frozen=True)
class Acknowledged:
    """The stream's word."""

    sequence: int
    duplicate: bool = False


@dataclass(eq=False)
class Consumer:
    """One durable: what it has not given out, and what is in flight until when."""

    stream: "Stream"
    wants: Callable[[str], bool]
    waiting: dict[int, None] = field(default_factory=dict)
    flying: dict[int, float] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    readers: list[Task] = field(default_factory=list)
    is_worked_at: Callable[[int], bool] = lambda _: False
    """Whether somebody who is awake says every few seconds that it is in progress."""

    def fetch(self, now: float, most: int) -> "list[Delivery]":
        """What may be delivered now; each is in flight until it is acknowledged, given back, or its time is over."""
        for sequence in [sequence for sequence, until in self.flying.items() if until <= now]:
            if self.is_worked_at(sequence):
                self.flying[sequence] = now + ACK_WAIT_S
                continue
            del self.flying[sequence]
            self.waiting[sequence] = None
        found = []
        for sequence in list(self.waiting)[:most]:
            del self.waiting[sequence]
            self.flying[sequence] = now + ACK_WAIT_S
            self.tries[sequence] = self.tries.get(sequence, 0) + 1
            found.append(Delivery(self, self.stream.messages[sequence], self.tries[sequence], self.stream.starts))
        return found

    def next_at(self, now: float) -> float:
        """When there is something to fetch again."""
        return now if self.waiting else min(self.flying.values(), default=float("inf"))

    def wake(self, at: float) -> None:
        """Its readers look again then."""
        for reader in self.readers:
            reader.wake(at)


@dataclass(frozen=True)
class Delivery:
    """A message in somebody's hands."""

    consumer: Consumer
    stored: Stored
    tries: int
    starts: int
    """Of the server. An acknowledgement for what an earlier start delivered is ignored: the sequence may be another message now."""

    def acknowledge(self) -> None:
        """It is not delivered again. Nobody learns whether this arrived."""
        world = self.consumer.stream.world
        if not world.bus.up or self.starts != self.consumer.stream.starts:
            return
        if world.happens(world.profile.lost_acks):
            world.counts["an acknowledgement is lost"] += 1
        else:
            self.consumer.stream.acknowledged(self.consumer, self.stored.sequence)

    def give_back(self, delay: float) -> None:
        """It is delivered again, after the delay."""
        if self.starts == self.consumer.stream.starts and self.stored.sequence in self.consumer.flying:
            self.consumer.flying[self.stored.sequence] = self.consumer.stream.world.now + delay
            self.consumer.wake(self.consumer.stream.world.now + delay)


@dataclass(eq=False)
class Stream:
    """One stream. `keeps`: messages stay after they were acknowledged (EVENTS)."""

    world: "World"
    name: str
    one_a_subject: bool = False
    keeps: bool = False
    created: int = 0
    starts: int = 0
    last: int = 0
    messages: dict[int, Stored] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)
    known: dict[str, tuple[float, int]] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)
    synced_at: float = 0.0
    _synced: tuple[int, dict[int, Stored], list[set[int]]] = (0, {}, [])

    def consumer(self, wants: Callable[[str], bool] = lambda _: True) -> Consumer:
        """A durable."""
        made = Consumer(self, wants)
        self.consumers.append(made)
        return made

    def publish(self, message_id: str, subject: str, body: object) -> Acknowledged | None:
        """Stores it. None: refused, since this very subject is there."""
        now = self.world.now
        if (seen := self.known.get(message_id)) is not None and now - seen[0] < DEDUPLICATED_S:
            return Acknowledged(seen[1], duplicate=True)
        if self.one_a_subject and subject in self.subjects:
            return None
        self.sync(now)
        self.last += 1
        self.messages[self.last] = Stored(self.last, message_id, subject, body)
        self.known[message_id] = (now, self.last)
        if self.one_a_subject:
            self.subjects[subject] = self.last
        for consumer in self.consumers:
            if consumer.wants(subject):
                consumer.waiting[self.last] = None
                consumer.wake(now)
        return Acknowledged(self.last)

    def acknowledged(self, consumer: Consumer, sequence: int) -> None:
        """A consumer has had it: a work queue forgets it."""
        consumer.flying.pop(sequence, None)
        consumer.waiting.pop(sequence, None)
        consumer.tries.pop(sequence, None)
        if not self.keeps:
            self.remove(sequence)

    def remove(self, sequence: int) -> None:
        """Takes a message off."""
        stored = self.messages.pop(sequence, None)
        if stored is None:
            return
        self.subjects.pop(stored.subject, None)
        for consumer in self.consumers:
            consumer.waiting.pop(sequence, None)
            consumer.flying.pop(sequence, None)

    def remove_subjects(self, beginning: str) -> None:
        """Takes every message off whose subject begins so."""
        for sequence in [at for subject, at in self.subjects.items() if subject.startswith(beginning)]:
            self.remove(sequence)

    def sync(self, now: float) -> None:
        """To disk, every so often: what a power cut leaves."""
        if now - self.synced_at >= self.world.profile.sync_s:
            self.synced_at = now
            self._synced = (self.last, dict(self.messages), [{*one.waiting, *one.flying} for one in self.consumers])

    def lose_end(self) -> None:
        """A power cut: what was stored, acknowledged and removed since the last sync never was."""
        self.last, messages, left = self._synced
        self.messages = dict(messages)
        self._restarted([sequence for sequence in self.messages if sequence in of] for of in left or [set()] * len(self.consumers))

    def restart(self) -> None:
        """The server was killed: what was in flight is delivered again."""
        self._restarted([{**dict.fromkeys(sorted({*one.flying, *one.waiting}))} for one in self.consumers])

    def anew(self) -> None:
        """Its store was deleted: an empty stream of another creation time."""
        self.created += 1
        self.last, self.messages = 0, {}
        self._synced = (0, {}, [])
        self._restarted([] for _ in self.consumers)

    def _restarted(self, left: "object") -> None:
        now = self.world.now
        self.starts += 1
        self.subjects = {stored.subject: sequence for sequence, stored in self.messages.items()} if self.one_a_subject else {}
        self.known = {stored.message_id: (now, sequence) for sequence, stored in self.messages.items()}
        for consumer, sequences in zip(self.consumers, left, strict=True):  # type: ignore[call-overload]
            consumer.waiting = dict.fromkeys(sequences)
            consumer.flying = {}
            consumer.tries = {}
            consumer.wake(now)


class Bus:
    """All streams, one server."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.up = True
        self.commands = Stream(world, "COMMANDS", one_a_subject=True)
        self.results = Stream(world, "RESULTS")
        self.events = Stream(world, "EVENTS", keeps=True)
        self.changes = Stream(world, "CHANGES")
        self.requests = Stream(world, "REQUESTS")
        self.streams = {stream.name: stream for stream in (self.commands, self.results, self.events, self.changes, self.requests)}
        self.under_way: list[tuple[str, str, str, object]] = []
        """Publishes whose sender gave up, and which may still arrive."""

    def publish(self, stream: str, message_id: str, subject: str, body: object) -> Acknowledged | None:
        """Raises `Unavailable` where there is no word; it may be stored all the same, or later."""
        world = self._world
        if not self.up:
            raise Unavailable(stream)
        if world.happens(world.profile.bad_publishes):
            fate = world.pick(3)
            if fate == 1:
                self.streams[stream].publish(message_id, subject, body)
            elif fate == 2:
                self.under_way.append((stream, message_id, subject, body))
            kind = ("lost", "stored", "under way")[fate]
            world.counts[f"no word: {kind}"] += 1
            world.tell(f"bus: no word for {message_id} on {stream}: {kind}")
            raise Unavailable(stream)
        return self.streams[stream].publish(message_id, subject, body)

    def arrive(self, index: int) -> None:
        """A publish that its sender had given up arrives."""
        stream, message_id, subject, body = self.under_way.pop(index)
        self._world.tell(f"bus: {message_id} arrives late on {stream}")
        self.streams[stream].publish(message_id, subject, body)

    def go_down(self) -> None:
        """Nobody reaches it."""
        self.up = False

    def come_up(self) -> None:
        """Everybody reconnects."""
        self.up = True
        for stream in self.streams.values():
            stream.restart()
