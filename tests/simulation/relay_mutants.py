"""Defects of the relay: how it hands over, publishes, marks, and tells what a stream has lost."""

from shared.outbox import Row
from tests.simulation.coordinator import Coordinator
from tests.simulation.mutants import Patches, mutant
from tests.simulation.outbox import BATCH, MESSAGE_ID, REMEMBER_S, Relay
from tests.simulation.streams import Stream, Unavailable
from tests.simulation.tasks import Steps
from tests.simulation.work import Work


@mutant
def marks_before_it_publishes(patches: Patches) -> None:
    """The relay marks a message as sent, and then sends it."""
    real = Relay.publish

    def publish(relay: Relay, names: list[str]) -> Steps[None]:
        for name in names:
            relay.outbox.sent(name, relay.round)
        yield 0.0
        yield from real(relay, names)

    patches.replace(Relay, "publish", publish)


@mutant
def takes_silence_for_a_word(patches: Patches) -> None:
    """The relay takes a publish without a word for one that arrived."""
    real = Relay._publish_one

    def publish_one(relay: Relay, name: str, before: dict[str, tuple[int, int]]) -> None:
        try:
            real(relay, name, before)
        except Unavailable:
            return

    patches.replace(Relay, "_publish_one", publish_one)


@mutant
def never_looks_for_losses(patches: Patches) -> None:
    """The relay believes that streams keep what they took."""

    def look(relay: Relay) -> None:
        relay._seen = dict.fromkeys(relay.world.bus.streams, (0, 0))

    patches.replace(Relay, "look_for_losses", look)


@mutant
def does_not_know_new_streams(patches: Patches) -> None:
    """To a new stream only what was not noted yet is sent again."""

    def lost_since(relay: Relay, stream: Stream) -> float:
        return relay.outbox.streams.get(stream.name, (0, 0, 0))[2] + 1

    patches.replace(Relay, "lost_since", lost_since)


@mutant
def trusts_a_stream_that_it_did_not_know(patches: Patches) -> None:
    """Where the relay had noted nothing of a stream yet, it takes for granted that nothing was lost."""
    real = Relay.lost_since

    def lost_since(relay: Relay, stream: Stream) -> float:
        return real(relay, stream) if stream.name in relay.outbox.streams else float("inf")

    patches.replace(Relay, "lost_since", lost_since)


@mutant
def goes_by_the_databases_clock(patches: Patches) -> None:
    """What a stream may have lost is counted in minutes of the database's clock."""
    publish, remember, look = Relay.publish, Relay.remember, Relay.look_for_losses

    def set_by_the_clock(relay: Relay) -> None:
        relay.round = int(relay.world.database_now() // REMEMBER_S)

    def publishes(relay: Relay, names: list[str]) -> Steps[None]:
        set_by_the_clock(relay)
        yield from publish(relay, names)

    def remembers(relay: Relay) -> None:
        set_by_the_clock(relay)
        remember(relay)

    def looks(relay: Relay) -> None:
        look(relay)
        set_by_the_clock(relay)

    patches.replace(Relay, "publish", publishes)
    patches.replace(Relay, "remember", remembers)
    patches.replace(Relay, "look_for_losses", looks)


@mutant
def believes_that_all_is_handed_over(patches: Patches) -> None:
    """The relay looks at the table only where it is told that there is more: what it could not publish is forgotten."""

    def waiting(relay: Relay) -> list[str]:
        handed, more = relay.memory.handed()
        return list(relay.outbox.unsent)[:BATCH] if more else [row.headers[MESSAGE_ID] for row in handed]

    patches.replace(Relay, "waiting", waiting)


@mutant
def hands_over_before_the_commit(patches: Patches) -> None:
    """What is published may never have been written."""
    real = Coordinator.committed

    def committed(coordinator: Coordinator, work: Work) -> Steps[None]:
        rows = [Row(0, one.stream, one.subject, {MESSAGE_ID: one.message_id}, b"") for one in work.messages]
        yield from coordinator.relay.hand_over(rows)
        yield 0.0
        yield from real(coordinator, work)

    patches.replace(Coordinator, "committed", committed)
