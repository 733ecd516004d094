"""Whole faults: what strikes a process, the bus or the clock, besides what goes wrong with single messages and effects."""

from typing import TYPE_CHECKING

from services.coordinator.saga import DeploymentState
from shared.contracts import requests as r

if TYPE_CHECKING:
    from tests.simulation.tasks import Party
    from tests.simulation.world import World

_DOWN_S = (0.0, 1.0, 20.0, 600.0)
_ASLEEP_S = (20.0, 40.0, 400.0, 4000.0)
_STOPPED_AT_MOST_S = 100.0
"""A replica that keeps rows locked, and the relay's lock: nothing goes on meanwhile."""
_CLOCK_S = (30.0, -30.0, 3600.0, -3600.0)


def crash(world: "World") -> None:
    """Any process dies, and is started again."""
    alive = [party for party in world.parties if party.up]
    if alive:
        world.counts["a process dies"] += 1
        world.crash(alive[world.pick(len(alive))], _DOWN_S[world.pick(4)])


def crash_coordinator(world: "World") -> None:
    """The same, for the one that matters most; or the database ends all connections of it."""
    up = [one for one in world.coordinators if one.up]
    if not up:
        return
    struck = up[world.pick(len(up))]
    if world.replicated and world.pick(2):
        world.counts["connections are cut"] += 1
        world.cut(struck)
    else:
        world.counts["a coordinator dies"] += 1
        world.crash(struck, _DOWN_S[world.pick(4)])


def sleep(world: "World") -> None:
    """A worker's process is stopped, through its lease, and wakes later; or a replica, with what it has locked."""
    awake: list[Party] = [process for process in world.processes if process.awake]
    awake += [one for one in world.coordinators if world.replicated and one.awake]
    if awake:
        process, seconds = awake[world.pick(len(awake))], _ASLEEP_S[world.pick(4)]
        world.counts["a replica sleeps" if process in world.coordinators else "a worker sleeps"] += 1
        if process in world.coordinators:
            seconds = min(seconds, _STOPPED_AT_MOST_S)
        world.tell(f"{process.name}: sleeps for {seconds:g} s")
        process.sleep(world.now, world.now + seconds)


def power_cut(world: "World") -> None:
    """Some streams lose their end."""
    names = [name for name in world.bus.streams if world.happens(0.6)]
    world.tell(f"bus: power cut, lost the end of {', '.join(names) or 'nothing'}")
    for name in names:
        world.counts[f"{name} lost its end"] += 1
        world.bus.streams[name].lose_end()
    world.reconnect()


def new_streams(world: "World") -> None:
    """The bus's store was deleted while it was down."""
    world.counts["new streams"] += 1
    world.tell("bus: a new store")
    for stream in world.bus.streams.values():
        stream.anew()
    world.reconnect()


def outage(world: "World") -> None:
    """Nobody reaches the bus for a while."""
    if world.bus.up:
        seconds = _DOWN_S[world.pick(4)]
        world.counts["an outage"] += 1
        world.tell(f"bus: away for {seconds:g} s")
        world.bus.go_down()
        world.later(seconds, world.bus_is_back)


def clock(world: "World") -> None:
    """The database's clock is set. Whether a preview was updated after its removal was asked for is told by it: there it is not set back."""
    seconds = _CLOCK_S[world.pick(4)]
    if world.preview:
        seconds = abs(seconds)
    world.counts["the clock goes back" if seconds < 0 else "the clock goes forward"] += 1
    world.tell(f"clock: {seconds:+g} s")
    world.offset += seconds


def land(world: "World") -> None:
    """The container engine comes to a request whose sender is gone."""
    if world.target.late:
        world.counts["a late request lands"] += 1
        world.land(world.pick(len(world.target.late)))


def arrive(world: "World") -> None:
    """A publish arrives that its sender had given up."""
    if world.bus.under_way:
        world.counts["a late publish arrives"] += 1
        world.bus.arrive(world.pick(len(world.bus.under_way)))


def reconcile(world: "World") -> None:
    """The deployer compares record and target."""
    if world.target.holder is None:
        world.counts["reconciled"] += 1
        world.reconcile()


KINDS = (crash, crash_coordinator, sleep, power_cut, new_streams, outage, clock, land, arrive, reconcile)


def person(world: "World") -> None:
    """Somebody wants something."""
    wish, live = world.pick(7), world.live()
    api = world.api
    if not api.up:
        return
    if wish == 0 and world.webhooks.up:
        world.push()
    elif wish in {1, 2} and live:
        api.wish(r.CancelRequested, target_deployment=live[world.pick(len(live))].id)
    elif wish == 3:
        api.wish(r.RollbackRequested)
    elif wish == 4:
        api.wish(r.DeployRequested)
    elif wish == 5:
        api.wish(r.RemoveRequested)
    else:
        for saga in live:
            if saga.state is DeploymentState.STUCK:
                api.wish(r.AcceptRequested if world.pick(2) else r.RetryRequested, target_deployment=saga.id)
            elif saga.state is DeploymentState.WAITING:
                api.wish(r.ApproveRequested, target_deployment=saga.id, approved=not world.pick(2))
