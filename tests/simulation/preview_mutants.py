"""Defects of how previews come and go."""

from datetime import datetime

from tests.simulation import previews
from tests.simulation.mutants import Patches, mutant
from tests.simulation.previews import Catalogue
from tests.simulation.tasks import Steps


def _at_once(value: bool) -> Steps[bool]:
    yield from ()
    return value


@mutant
def removes_what_was_updated(patches: Patches) -> None:
    """A removal that time asked for is done, though the change request was updated before it was read."""
    patches.replace(previews, "is_going", lambda _world: _at_once(True))  # noqa: FBT003


@mutant
def tells_the_catalogue_without_a_lock(patches: Patches) -> None:
    """Two replicas tell of two changes of one change request, and the older one comes last."""
    patches.replace(previews, "lock", lambda _work: _at_once(True))  # noqa: FBT003


@mutant
def plans_before_the_catalogue_knows_of_a_removal(patches: Patches) -> None:
    """What queued behind a removal is planned from an entry that is about to be forgotten."""
    real = previews.snapshot
    patches.replace(previews, "snapshot", lambda world, _after: real(world, None))


@mutant
def forgets_what_was_opened_again(patches: Patches) -> None:
    """The entry of a preview goes with every removal that succeeds, also where the change request was opened again meanwhile."""

    def forget(catalogue: Catalogue, _created_at: datetime) -> None:
        catalogue.entry = None

    patches.replace(Catalogue, "forget", forget)


@mutant
def asks_for_a_removal_once(patches: Patches) -> None:
    """A removal that failed is not asked for again: the preview stays."""
    real = Catalogue.due_in
    patches.replace(Catalogue, "due_in", lambda catalogue, now: None if catalogue.is_going else real(catalogue, now))
