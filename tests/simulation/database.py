"""The coordinator's PostgreSQL: what a crash leaves, and which rows open transactions have locked."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from services.coordinator.saga import Saga
from services.coordinator.snapshot import Record
from shared.contracts.changes import ChangePushed
from tests.simulation.outbox import Outbox
from tests.simulation.previews import Requests
from tests.simulation.tasks import Party
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.work import Work


@dataclass
class Environment:
    """The environment's row."""

    epoch: int = 0
    newest_arrival: int = 0
    newest_commit: str | None = None
    record: Record = field(default_factory=Record)
    deployment: str | None = None


@dataclass
class Database:
    """All tables. There is one environment."""

    sagas: dict[str, Saga] = field(default_factory=dict)
    wake_at: dict[str, datetime] = field(default_factory=dict)
    wants: dict[str, None] = field(default_factory=dict)
    """Deployments that want something of the driver."""
    environment: Environment = field(default_factory=Environment)
    records: dict[str, Record] = field(default_factory=dict)
    """Deployments that succeeded, in order."""
    taken: ChangePushed | None = None
    """The last change taken of the ref."""
    made_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requests: Requests = field(default_factory=Requests)
    inbox: set[str] = field(default_factory=set)
    outbox: Outbox = field(default_factory=Outbox)
    arrivals: int = 0
    locks: "dict[str, Work]" = field(default_factory=dict)
    """Row → the transaction that has locked it."""
    open: "dict[Work, None]" = field(default_factory=dict)

    def knows(self, message_id: str) -> bool:
        """It is in the inbox."""
        return message_id in self.inbox

    def release(self, work: "Work") -> None:
        """A transaction has ended."""
        self.open.pop(work, None)
        for key in [key for key, holder in self.locks.items() if holder is work]:
            del self.locks[key]

    def arrival(self) -> int:
        """A number for a deployment: larger is newer."""
        self.arrivals += 1
        return self.arrivals

    def holder(self) -> str | None:
        """The deployment that holds the environment: a unique index sees that it is one."""
        holders = [name for name, saga in self.sagas.items() if saga.holds]
        hold(len(holders) <= 1, f"the environment is held by {holders}")
        return holders[0] if holders else None

    def cut(self, party: Party) -> None:
        """Rolls back what a process has begun."""
        for work in [work for work in self.open if work.party is party]:
            work.cut = True
            self.release(work)
