"""Previews: in some schedules the environment is a change request's own. It comes with it, and goes when the request is closed, when
nobody has updated it for its time to live, or when somebody removes it. Api's catalogue, and how the coordinator takes such a change."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from services.coordinator.change_requests import PREVIEWS_GO, updated_since, why_no_news
from services.coordinator.saga import DeploymentState, Saga
from services.coordinator.store.open_requests import Taken
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated, FoundBy, Pusher, RequestChange
from shared.contracts.events import ChangeIgnored, ChangeTaken
from shared.contracts.releases import ReleaseKind
from tests.simulation import applications
from tests.simulation.settling import settle
from tests.simulation.tasks import Steps
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.work import Work
    from tests.simulation.world import World

T = TypeVar("T")
TTL_S, RETRY_S = (60.0, 900.0), 3600.0


class CatalogueAway(Exception):
    """Api does not answer now."""


class CatalogueBehind(Exception):
    """Api has not heard yet of what the answer has to know."""


@dataclass
class Entry:
    """The environment's row."""

    updated_at: datetime
    removing_at: datetime | None = None
    """Its removal was asked for."""


@dataclass
class Catalogue:
    """What api has of the environment, and for itself (`updates`, `let_go`, `refused`) what ought to become of it."""

    ttl: timedelta = timedelta(0)
    entry: Entry | None = None
    updates: int = 0
    let_go: int = -1
    """The update after which time or a person had it removed."""
    refused: bool = False
    """The last time that it should have been made there were as many as there may be."""

    def open(self, world: "World") -> bool:
        """Makes it, or notes that it was updated: it is not removed, should that have been asked for. False: there are too many."""
        self.updates += 1
        self.refused = self.entry is None and world.happens(world.profile.refusals)
        if not self.refused:
            self.entry = Entry(world.clock())
        return not self.refused

    def close(self, world: "World") -> bool:
        """Notes that it is being removed; whether it is there."""
        if self.entry is not None:
            self.entry.removing_at = world.clock()
        return self.entry is not None

    @property
    def is_going(self) -> bool:
        """Its removal was asked for."""
        return self.entry is not None and self.entry.removing_at is not None

    def due_in(self, now: datetime) -> float | None:
        """The seconds until its removal has to be asked for."""
        if self.entry is None:
            return None
        at = self.entry.updated_at + self.ttl if self.entry.removing_at is None else self.entry.removing_at + timedelta(seconds=RETRY_S)
        return (at - now).total_seconds()

    def expire(self, world: "World") -> None:
        """Notes that its removal is asked for."""
        if self.close(world):
            self.let_it_go()

    def let_it_go(self) -> None:
        """A person has it removed."""
        self.let_go = self.updates

    def forget(self, created_at: datetime) -> None:
        """A removal has succeeded: the entry goes, unless it was updated after that was created."""
        if self.entry is not None and self.entry.updated_at <= created_at:
            self.entry = None


def ask(world: "World", what: Callable[[], T]) -> Steps[T]:
    """Asks api over gRPC: others come between on the way there, and on the way back."""
    yield 0.0
    if not world.api.up:
        raise CatalogueAway
    said = what()
    world.api.look_at_previews()
    yield 0.0
    return said


def change(number: int, commit: int, *, closes: bool, opens: bool) -> RequestChange:
    """What webhooks says of the change request."""
    kind = ChangeRequestClosed if closes else ChangeRequestOpened if opens else ChangeRequestUpdated
    fields: dict[str, object] = {
        "id": f"change-{number}", "time": applications.START, "organization": "main", "project": "todo", "number": "7",
        "connection": applications.CONNECTION, "repository": applications.REPOSITORY, "clone_url": "http://slipway",
        "ref": applications.REF, "commit": applications.commit(commit), "arrival": number, "pusher": Pusher(forge="slipway", login="ada"),
        "found_by": FoundBy.DELIVERY, "source": "feature", "target": applications.REF, "fork": False,
    }  # fmt: skip
    return kind.model_validate(fields)


@dataclass
class Requests:
    """The coordinator's table of change requests. There is one."""

    last: Taken | None = None
    made_of: dict[str, tuple[str, ...]] = field(default_factory=dict)


def lock(work: "Work") -> Steps[None]:
    """One change of the change request at a time, and no removal by rule beside it."""
    yield from work.lock_rows(["request"])


def snapshot(world: "World", after: str | None) -> Steps[Entry | None]:
    """The entry, asked for a plan; raises `CatalogueBehind` where api has not archived yet how `after` ended."""

    def answer() -> tuple[Entry | None, bool]:
        stored = world.api.stored
        return stored.catalogue.entry, after is None or stored.knows_success_of(after)

    entry, knows = yield from ask(world, answer)
    if not knows:
        raise CatalogueBehind
    return entry


def is_going(world: "World") -> Steps[bool]:
    """Whether a preview is still to be removed, asked under the lock."""
    return (yield from ask(world, lambda: world.api.stored.catalogue.is_going))


def take(work: "Work", message: RequestChange) -> Steps[None]:
    """Handles one change in a transaction, as `services.coordinator.change_requests`."""
    requests = work.world.database.requests
    new = yield from work.take([message.id])
    yield from lock(work)
    last = requests.last
    if not new:
        _settle(work, message, requests.made_of.get(message.id, ()))
    elif not why_no_news(last, message):
        yield from _take(work, message)
        if isinstance(message, ChangeRequestOpened) and (held := updated_since(last, message)) is not None:
            yield from _take(work, held)
    else:
        if last is not None and last.arrival < message.arrival:
            work.then(partial(_remember, requests, last, message))
        _settle(work, message, ())


def _take(work: "Work", message: RequestChange) -> Steps[None]:
    world, requests = work.world, work.world.database.requests
    catalogue, closes = world.api.stored.catalogue, isinstance(message, ChangeRequestClosed)
    tell = catalogue.close if closes else catalogue.open
    made = (_create(work, message),) if (yield from ask(world, lambda: tell(world))) else ()
    last = Taken(message.commit, message.arrival, closes, made)

    def taken() -> None:
        requests.last, requests.made_of[message.id] = last, made

    work.then(taken)
    _settle(work, message, made)


def _remember(requests: Requests, last: Taken, ignored: RequestChange) -> None:
    if not last.closed:
        requests.last = replace(last, arrival=ignored.arrival)
    elif isinstance(ignored, ChangeRequestUpdated) and (last.held is None or last.held.arrival < ignored.arrival):
        requests.last = replace(last, held=ignored)


def _settle(work: "Work", message: RequestChange, made: tuple[str, ...]) -> None:
    said = {"change": message.id, "ref": message.ref, "commit": message.commit}
    settle(work, message, ChangeTaken(deployments=made, **said) if made else ChangeIgnored(reason="settled", **said))


def _create(work: "Work", message: RequestChange) -> str:
    world, closes = work.world, isinstance(message, ChangeRequestClosed)
    arrival = world.database.arrival()
    name, number = f"d{arrival}", int(message.commit, 16)
    origin = applications.origin(
        arrival,
        kind=ReleaseKind.REMOVE if closes else ReleaseKind.DEPLOY,
        source=None if closes else applications.source(number, ending=world.profile.ending),
        change=message.id,
        pusher=message.pusher,
        gates=() if closes else world.gates,
        by_hand=closes,
        preview=True,
        allowed_by=PREVIEWS_GO if closes else "",
    )
    world.tell(f"{work.party.name}: {name} is of {message.id} ({type(message).__name__})")
    work.create(Saga(name, origin, DeploymentState.AUTHORIZING, world.clock()), message.id)
    return name


def at_the_end(world: "World") -> None:
    """A preview is there exactly as long as it should be, and what nobody knows of runs nothing."""
    catalogue, record = world.api.stored.catalogue, world.database.environment.record
    if not world.webhooks.stored.is_open:
        hold(catalogue.entry is None, "the change request is closed, and its preview is still there")
    elif catalogue.entry is None:
        wanted = catalogue.let_go == catalogue.updates or catalogue.refused
        hold(wanted, "the change request is open and was updated, and its preview was taken away")
    if catalogue.entry is None:
        hold(not record.releases and not record.databases, f"nobody knows of the environment, and it runs {sorted(record.releases)}")
