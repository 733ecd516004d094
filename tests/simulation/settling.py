"""Settling changes: webhooks hears what became of each."""

from typing import TYPE_CHECKING

from shared.contracts.changes import Change
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event

if TYPE_CHECKING:
    from tests.simulation.work import Work


def settle(work: "Work", change: Change, fact: ChangeTaken | ChangeIgnored) -> None:
    """With the transaction; each time it is said under a fresh id."""
    event = Event.of(fact, change.organization, change.project, cause=change.id)
    work.publish(event.model_copy(update={"id": work.world.fresh_id("settled")}))
