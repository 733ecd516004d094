"""What people wish: api, which writes their requests and archives all events, and how the coordinator takes a request."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.coordinator import inputs as i
from services.coordinator.change_requests import PREVIEWS_GO
from services.coordinator.saga import DeploymentState, Saga
from shared.contracts import requests as r
from shared.contracts.events import DeploymentCreated, DeploymentStuck, DeploymentSucceeded, Event, RequestRefused
from shared.contracts.releases import ReleaseKind
from shared.outbox import outgoing
from tests.simulation import applications, previews
from tests.simulation.outbox import Outbox, Relay
from tests.simulation.streams import Consumer
from tests.simulation.tasks import IDLE, Nap, Party, Steps

if TYPE_CHECKING:
    from tests.simulation.work import Work
    from tests.simulation.world import World


ALERTED = 0.8
"""How often somebody hears of a deployment that is stuck, and does something."""
_TELLING_OF_REMOVALS = (DeploymentCreated.__name__, DeploymentSucceeded.__name__)


class Impossible(Exception):
    """The request cannot be done."""


def prepare(world: "World", message: r.Request) -> Steps[bool]:
    """Whether there is the environment that it is about, asked before the transaction."""
    if not world.preview or "place" not in type(message).model_fields:
        return True
    return (yield from previews.ask(world, lambda: world.api.stored.catalogue.entry is not None))


def take(work: "Work", message: r.Request, there: bool) -> Steps[None]:
    """Handles one request in a transaction, as `services.coordinator.requests`."""
    if not (yield from work.take([message.id])):
        return
    try:
        yield from _do(work, message, there)
    except Impossible as reason:
        fact = RequestRefused(request=message.id, reason=str(reason))
        event = Event.of(fact, message.organization, "todo", "production", cause=message.id)
        work.publish(event.model_copy(update={"id": work.world.fresh_id("refused")}))


def _do(work: "Work", request: r.Request, there: bool) -> Steps[None]:
    match request:
        case r.DeployRequested() | r.RollbackRequested() | r.RemoveRequested() | r.ExpireRequested():
            if not there:
                raise Impossible("there is no such environment")
            if isinstance(request, r.ExpireRequested):
                yield from previews.lock(work)
                if not (yield from previews.is_going(work.world)):
                    raise Impossible("it was updated since")
            _create(work, request)
        case r.CancelRequested():
            yield from _move(work, request.target_deployment, i.Cancelled(by="ada", cause=request.id))
        case r.ApproveRequested():
            decision = i.Approved(by="ada", approved=request.approved, cause=request.id)
            yield from work.lock([request.target_deployment])
            saga = work.saga(request.target_deployment)
            if saga is not None and saga.state is DeploymentState.WAITING and not saga.waits_for_approval:
                raise Impossible("it waits for gates")
            yield from _move(work, request.target_deployment, decision, only=DeploymentState.WAITING)
        case r.AnswerRequested():
            yield from _move(work, request.target_deployment, _answer(request))
        case r.RetryRequested():
            yield from _move(work, request.target_deployment, i.Retried(by="ada", cause=request.id), only=DeploymentState.STUCK)
            work.world.counts["a stuck deployment is retried"] += 1
        case r.AcceptRequested():
            yield from _move(work, request.target_deployment, i.Accepted(by="ada", cause=request.id), only=DeploymentState.STUCK)
            work.world.counts["a stuck deployment is accepted as it stands"] += 1


def _answer(request: r.AnswerRequested) -> i.GateAnswered:
    return i.GateAnswered(request.gate, request.gate_id, request.result, request.reason, "tool", request.time, request.id)


def _move(work: "Work", deployment: str, message: i.Input, only: DeploymentState | None = None) -> Steps[None]:
    yield from work.lock([deployment])
    saga = work.saga(deployment)
    if saga is None or saga.state.final or (only is not None and saga.state is not only):
        raise Impossible(f"{deployment} is not there, has ended, or is not {only}")
    work.apply(deployment, message)


def _create(work: "Work", request: r.Request) -> None:
    database, world = work.world.database, work.world
    more: dict[str, object] = {"subject": "ada", "request": request.id, "by_hand": True, "gates": world.gates, "preview": world.preview}
    if isinstance(request, r.RollbackRequested):
        goals = list(database.records)
        if database.environment.deployment in goals:
            goals = goals[: goals.index(database.environment.deployment)]
        if not goals:
            raise Impossible("there is no earlier release")
        more |= {"kind": ReleaseKind.ROLLBACK, "rollback_to": request.to if request.to in goals else goals[-1], "source": None, "gates": ()}
    elif isinstance(request, r.RemoveRequested):
        more |= {"kind": ReleaseKind.REMOVE, "source": None}
        work.then(world.api.stored.catalogue.let_it_go)
    elif isinstance(request, r.ExpireRequested):
        more |= {"kind": ReleaseKind.REMOVE, "source": None, "subject": None, "allowed_by": PREVIEWS_GO, "gates": ()}
    else:
        newest = database.requests.last if world.preview else database.taken
        if newest is None:
            raise Impossible("nothing was pushed")
        more |= {"source": applications.source(int(newest.commit, 16), ending=world.profile.ending)}
    arrival = database.arrival()
    name = f"d{arrival}"
    world.tell(f"{work.party.name}: {name} is of {request.id} ({request.verb})")
    origin = applications.origin(arrival, **more)
    work.create(Saga(name, origin, DeploymentState.AUTHORIZING, world.clock()), request.id)


@dataclass
class Stored:
    """What api has in its database."""

    outbox: Outbox = field(default_factory=Outbox)
    archive: dict[str, Event] = field(default_factory=dict)
    wishes: list[str] = field(default_factory=list)
    catalogue: previews.Catalogue = field(default_factory=previews.Catalogue)

    def knows_success_of(self, deployment: str) -> bool:
        """Whether both events are there that say what it was, and that it ended well."""
        told = [event.name for event in self.archive.values() if event.deployment == deployment and event.name in _TELLING_OF_REMOVALS]
        return len(told) == len(_TELLING_OF_REMOVALS)


@dataclass(eq=False)
class Api(Party):
    """Its process."""

    world: "World" = field(kw_only=True)
    stored: Stored = field(kw_only=True)
    events: Consumer = field(kw_only=True)

    def start(self, now: float) -> None:
        """Publishes requests, archives events."""
        super().start(now)
        self.relay = Relay(self.world, self.stored.outbox, self)
        self.events.readers = [self.spawn("archive", self._archive(), now)]
        self._expiring = self.spawn("expire", self._expire(), now) if self.world.preview else None

    def reconnected(self, now: float) -> None:
        """Looks for losses."""
        self.relay.check = True
        self.relay.wake()

    def wish(self, kind: type[r.Request], **more: object) -> None:
        """Somebody wants something."""
        name = self.world.fresh_id("request")
        place = {"place": applications.PLACE} if "place" in kind.model_fields else {}
        given = {"id": name, "time": applications.START, "organization": "main", "subject": "ada"} | place | more
        request = kind.model_validate(given)
        self.world.tell(f"ada: {name}: {request.verb} {more or ''}")
        self.stored.wishes.append(name)
        self.stored.outbox.add([outgoing(request)], self.world.now)
        self.spawn("answer", self.relay.hand_over(), self.world.now)

    def look_at_previews(self) -> None:
        """Their time may be another one."""
        if self._expiring is not None:
            self._expiring.wake(self.world.now)

    def _expire(self) -> Steps[None]:
        catalogue = self.stored.catalogue
        while True:
            seconds = catalogue.due_in(self.world.clock())
            if seconds is not None and seconds <= 0:
                catalogue.expire(self.world)
                self.wish(r.ExpireRequested, reason="nobody has updated it")
            else:
                yield IDLE if seconds is None else Nap(seconds)

    def _forget_removed(self, event: Event) -> None:
        """The catalogue's entry goes when a removal has succeeded: with the later of the two events that say so."""
        if event.name not in _TELLING_OF_REMOVALS or event.deployment is None or not self.stored.knows_success_of(event.deployment):
            return
        saga = self.world.database.sagas[event.deployment]
        if saga.origin.kind is ReleaseKind.REMOVE:
            self.stored.catalogue.forget(saga.created_at)

    def _alert(self, event: Event) -> None:
        if event.name == DeploymentStuck.__name__ and self.world.happens(ALERTED):
            kind = r.AcceptRequested if self.world.pick(2) else r.RetryRequested
            self.world.later((1.0, 30.0)[self.world.pick(2)], lambda: self._decide(kind, str(event.deployment)))

    def _decide(self, kind: type[r.Request], deployment: str) -> None:
        if self.up:
            self.wish(kind, target_deployment=deployment)

    def _archive(self) -> Steps[None]:
        while True:
            found = self.events.fetch(self.world.now, 50) if self.world.bus.up else []
            if found:
                yield 0.0
                for delivery in found:
                    event = delivery.stored.body
                    assert isinstance(event, Event)
                    if event.id not in self.stored.archive:
                        self.stored.archive[event.id] = event
                        self._forget_removed(event)
                        self._alert(event)
                yield 0.0
                for delivery in found:
                    delivery.acknowledge()
            at = self.events.next_at(self.world.now)
            yield Nap(max(at - self.world.now, 0.0))
