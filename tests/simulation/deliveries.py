"""Pushes: webhooks, which stores each and sends it until it is settled, and how the coordinator takes a change."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.coordinator.saga import DeploymentState, Saga
from shared.contracts.changes import Change, ChangePushed, FoundBy, Pusher
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event
from shared.outbox import outgoing
from tests.simulation import applications, previews
from tests.simulation.outbox import Outbox, Relay
from tests.simulation.settling import settle
from tests.simulation.streams import Consumer
from tests.simulation.tasks import IDLE, Nap, Party, Steps
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.work import Work
    from tests.simulation.world import World

UNSETTLED_S = 300.0
_PUSHER = Pusher(forge="slipway", login="ada")


def take(work: "Work", message: ChangePushed) -> Steps[None]:
    """Handles one change in a transaction, as `services.coordinator.changes`."""
    database = work.world.database
    new = yield from work.take([message.id])
    yield from work.lock_rows(["ref"])
    last = database.taken
    if not new:
        made = database.made_of.get(message.id, ())
        settle(work, message, _taken(message, made) if made else _ignored(message))
    elif last is not None and (last.commit == message.commit or last.arrival >= message.arrival):
        if last.arrival < message.arrival:
            work.then(lambda: setattr(database, "taken", message))
        settle(work, message, _ignored(message))
    else:
        _deploy(work, message)


def at_the_end(world: "World") -> None:
    """What was taken last is what the branch is at, in whatever order pushes came."""
    taken, commit = world.database.taken, world.webhooks.stored.commit
    is_it = taken is not None and taken.commit == applications.commit(commit)
    hold(world.preview or is_it, f"the branch is at commit {commit}, and another was taken last: {taken and taken.id}")


def _deploy(work: "Work", message: ChangePushed) -> None:
    world, database = work.world, work.world.database
    arrival = database.arrival()
    name, number = f"d{arrival}", int(message.commit, 16)
    origin = applications.origin(
        arrival,
        source=applications.source(number, ending=world.profile.ending),
        change=message.id,
        pusher=message.pusher,
        needs_approval=False,
        gates=world.gates,
    )
    world.tell(f"{work.party.name}: {name} is of commit {number}")
    work.create(Saga(name, origin, DeploymentState.AUTHORIZING, world.clock()), message.id)

    def taken() -> None:
        database.taken, database.made_of[message.id] = message, (name,)

    work.then(taken)
    settle(work, message, _taken(message, (name,)))


def _taken(change: ChangePushed, deployments: tuple[str, ...]) -> ChangeTaken:
    return ChangeTaken(change=change.id, deployments=deployments, ref=change.ref, commit=change.commit)


def _ignored(change: ChangePushed) -> ChangeIgnored:
    return ChangeIgnored(change=change.id, reason="settled", ref=change.ref, commit=change.commit)


@dataclass
class Stored:
    """What webhooks has in its database."""

    outbox: Outbox = field(default_factory=Outbox)
    unsettled: dict[str, None] = field(default_factory=dict)
    pushed: int = 0
    commit: int = 0
    """The number of the one that the branch is at."""
    is_open: bool = False
    """The change request, where the environment is one's own."""


@dataclass(eq=False)
class Webhooks(Party):
    """Its process."""

    world: "World" = field(kw_only=True)
    stored: Stored = field(kw_only=True)
    settled: Consumer = field(kw_only=True)

    def start(self, now: float) -> None:
        """Publishes what is unsettled, and hears what is settled."""
        super().start(now)
        self.relay = Relay(self.world, self.stored.outbox, self)
        self.settled.readers = [self.spawn("settled", self._hear(), now)]
        self._unsettled = self.spawn("unsettled", self._send_again(), now)

    def reconnected(self, now: float) -> None:
        """Looks for losses."""
        self.relay.check = True
        self.relay.wake()

    def push(self, *, closes: bool = False, older: int | None = None) -> None:
        """Somebody pushes, an older commit where it is given, or closes the change request: stored before it is answered."""
        stored = self.stored
        stored.pushed += 1
        stored.commit = stored.commit if closes else older or stored.pushed
        if self.world.preview:
            change: Change = previews.change(stored.pushed, stored.commit, closes=closes, opens=not stored.is_open)
            stored.is_open = not closes
        else:
            change = self._pushed(stored.pushed, stored.commit)
        self.world.tell(f"ada: {'closes the change request' if closes else f'pushes commit {stored.commit}'}")
        stored.unsettled[change.id] = None
        rows = stored.outbox.add([outgoing(change)], self.world.now)
        self.spawn("answer", self.relay.hand_over(rows), self.world.now)
        self._unsettled.wake(self.world.now + UNSETTLED_S)

    @staticmethod
    def _pushed(number: int, commit: int) -> ChangePushed:
        return ChangePushed(
            id=f"change-{number}",
            time=applications.START,
            organization="main",
            project="todo",
            connection=applications.CONNECTION,
            repository=applications.REPOSITORY,
            clone_url="http://slipway",
            ref=applications.REF,
            commit=applications.commit(commit),
            arrival=number,
            pusher=_PUSHER,
            found_by=FoundBy.PUSH,
        )

    def _hear(self) -> Steps[None]:
        while True:
            found = self.settled.fetch(self.world.now, 20) if self.world.bus.up else []
            if found:
                yield 0.0
                for delivery in found:
                    event = delivery.stored.body
                    assert isinstance(event, Event)
                    change = str(event.data["change"])
                    self.stored.unsettled.pop(change, None)
                    self.stored.outbox.close([change])
                yield 0.0
                for delivery in found:
                    delivery.acknowledge()
            at = self.settled.next_at(self.world.now)
            yield Nap(max(at - self.world.now, 0.0))

    def _send_again(self) -> Steps[None]:
        while True:
            if not self.stored.unsettled:
                yield IDLE
            yield UNSETTLED_S
            for change in self.stored.unsettled:
                row = self.stored.outbox.rows[change]
                if row.sent_in is not None:
                    row.sent_in = None
                    self.stored.outbox.unsent[change] = row
            self.relay.wake()
