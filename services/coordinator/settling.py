"""Settling changes: webhooks hears what became of each, and sends it no more."""

from collections.abc import Mapping, Sequence

from services.coordinator.work import UnitOfWork
from shared.contracts.changes import Change, ChangePushed
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event


def ignore(work: UnitOfWork, change: Change, reason: str) -> None:
    """It led to nothing."""
    _settle(work, change, ChangeIgnored(change=change.id, reason=reason, ref=change.ref, commit=change.commit))


def take(work: UnitOfWork, change: Change, deployments: Sequence[str]) -> None:
    """It led to these deployments."""
    pushed = change.repository if isinstance(change, ChangePushed) else ""
    fact = ChangeTaken(change=change.id, deployments=tuple(deployments), ref=change.ref, commit=change.commit, repository=pushed)
    _settle(work, change, fact)


def settle_again(work: UnitOfWork, change: Change, made: Mapping[str, Sequence[str]]) -> None:
    """The change was handled before; its settlement did not reach webhooks. Newer ones may have been taken since.

    `made`: the deployments of those that made any (`refs.made_of`).
    """
    if deployments := made.get(change.id):
        take(work, change, deployments)
    else:
        ignore(work, change, "it was settled before")


def _settle(work: UnitOfWork, change: Change, fact: ChangeTaken | ChangeIgnored) -> None:
    work.publish(Event.of(fact, change.organization, change.project, cause=change.id))
