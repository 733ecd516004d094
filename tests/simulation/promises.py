"""What became of each push and each wish, read in the end from what the coordinator has said, in the order in which it was written."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.coordinator.saga import DeploymentState
from shared.contracts import facts as f
from shared.contracts import requests as r
from shared.contracts.changes import Change, ChangeRequestClosed
from shared.contracts.commands import Command, Direction
from shared.contracts.events import (
    ChangeIgnored,
    ChangeTaken,
    CompensationStarted,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentRolledBack,
    DeploymentStuck,
    DeploymentSucceeded,
    DeploymentSuperseded,
    DeploymentUnstuck,
    Event,
    RequestRefused,
)
from shared.contracts.releases import ReleaseKind
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World

_ENDS = {one.__name__ for one in (
    DeploymentSucceeded, DeploymentRolledBack, DeploymentCancelled, DeploymentSuperseded, DeploymentFailed, f.DeploymentDenied,
)}  # fmt: skip
_AFTER_PIVOT = ("retire-", "remove-service-", "remove-database-")
_KINDS: dict[type[r.Request], ReleaseKind] = {
    r.DeployRequested: ReleaseKind.DEPLOY,
    r.RollbackRequested: ReleaseKind.ROLLBACK,
    r.RemoveRequested: ReleaseKind.REMOVE,
    r.ExpireRequested: ReleaseKind.REMOVE,
}


def at_the_end(world: "World") -> None:
    """A push was taken, or a newer one was before it; a wish was done, or could not be when it was refused."""
    said = _Said(world, successes=0 if world.profile.former is None else 1)
    for row in world.database.outbox.rows.values():
        said.read(row.outgoing.message)
    said.all_was_done()


@dataclass
class _Said:
    """How things stood after each message."""

    world: "World"
    successes: int
    taken: dict[str, int] = field(default_factory=dict)
    """Change → its arrival."""
    no_news: set[int] = field(default_factory=set)
    """Arrivals of changes that were ignored because their commit was the one that was taken last."""
    ended: set[str] = field(default_factory=set)
    only_forward: set[str] = field(default_factory=set)
    """Deployments that turn back, or take the former release away: no cancel is done any more."""
    asked: set[str] = field(default_factory=set)
    """… that wait for approval."""
    stuck: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.changes = {
            name: row.outgoing.message
            for name, row in self.world.webhooks.stored.outbox.rows.items()
            if isinstance(row.outgoing.message, Change)
        }
        self.wishes = {
            name: row.outgoing.message
            for name, row in self.world.api.stored.outbox.rows.items()
            if isinstance(row.outgoing.message, r.Request)
        }

    def read(self, message: object) -> None:
        """One message that the coordinator wrote."""
        if isinstance(message, Command):
            if message.direction is Direction.DO and str(message.step).startswith(_AFTER_PIVOT):
                self.only_forward.add(str(message.deployment))
        elif isinstance(message, Event):
            self._happened(message, str(message.deployment))

    def _happened(self, event: Event, deployment: str) -> None:
        if event.name in _ENDS:
            self.ended.add(deployment)
            self.asked.discard(deployment)
            self.successes += event.name == DeploymentSucceeded.__name__
        elif event.name == CompensationStarted.__name__:
            self.only_forward.add(deployment)
        elif event.name == f.ApprovalRequested.__name__:
            self.asked.add(deployment)
        elif event.name == f.DeploymentApproved.__name__:
            self.asked.discard(deployment)
        elif event.name == DeploymentStuck.__name__:
            self.stuck.add(deployment)
        elif event.name == DeploymentUnstuck.__name__:
            self.stuck.discard(deployment)
        elif event.name == RequestRefused.__name__:
            self._refused(str(event.data["request"]))
        elif event.name == ChangeTaken.__name__:
            change = str(event.data["change"])
            self.taken[change] = self.changes[change].arrival
        elif event.name == ChangeIgnored.__name__:
            self._ignored(str(event.data["change"]))

    def _ignored(self, change: str) -> None:
        hold(change not in self.taken, f"{change} was taken, and then ignored")
        arrival = self.changes[change].arrival
        newer = any(other > arrival for other in (*self.taken.values(), *self.no_news))
        same = self._is_the_last(change)
        if same and not newer:
            self.no_news.add(arrival)
        good = newer or same or self.world.preview
        hold(good, f"{change} was ignored, and neither a newer one nor its commit was taken before it")

    def _is_the_last(self, change: str) -> bool:
        """Its commit is the one that was taken last."""
        last = next(reversed(self.taken), None)
        return last is not None and self.changes[last].commit == self.changes[change].commit

    def _refused(self, name: str) -> None:
        wish = self.wishes[name]
        self.refused.add(name)
        match wish:
            case r.CancelRequested():
                good = wish.target_deployment in self.ended | self.only_forward
            case r.ApproveRequested():
                good = wish.target_deployment not in self.asked
            case r.RetryRequested() | r.AcceptRequested():
                good = wish.target_deployment not in self.stuck
            case r.DeployRequested():
                good = not self.taken or self.world.contended
            case r.RollbackRequested():
                good = self.successes <= 1 or self.world.contended
            case r.RemoveRequested():
                good = self.world.preview
            case _:
                good = True
        hold(good, f"{name} ({wish.verb}) was refused, and could have been done")

    def all_was_done(self) -> None:
        """What was not refused."""
        for name in self.taken:
            self._made_one(name, ReleaseKind.REMOVE if isinstance(self.changes[name], ChangeRequestClosed) else ReleaseKind.DEPLOY)
        newest = max(self.changes.values(), key=lambda change: change.arrival)
        preview = self.world.preview and (not self.world.webhooks.stored.is_open or self.world.api.stored.catalogue.entry is None)
        hold(preview or newest.id in self.taken or self._is_the_last(newest.id), f"the newest push, {newest.id}, was not taken")
        for name, wish in self.wishes.items():
            if name in self.refused:
                continue
            if type(wish) in _KINDS:
                self._made_one(name, _KINDS[type(wish)])
            elif isinstance(wish, r.CancelRequested) or (isinstance(wish, r.ApproveRequested) and not wish.approved):
                saga = self.world.database.sagas[wish.target_deployment]
                wanted = DeploymentState.CANCELLED if isinstance(wish, r.CancelRequested) else DeploymentState.DENIED
                hold(saga.state is wanted, f"{name} ({wish.verb}) was not refused, and {saga.id} is {saga.state}")

    def _made_one(self, name: str, kind: ReleaseKind) -> None:
        made = [saga for saga in self.world.database.sagas.values() if name in {saga.origin.change, saga.origin.request}]
        hold([saga.origin.kind for saga in made] == [kind], f"{name} made the deployments {[saga.id for saga in made]}, not one of {kind}")
        change = self.changes.get(name)
        if change is not None and kind is ReleaseKind.DEPLOY:
            source = made[0].origin.source
            hold(source is not None and source.commit == change.commit, f"{made[0].id} is of another commit than {name}")
