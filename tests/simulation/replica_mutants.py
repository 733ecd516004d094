"""Defects that only several replicas of the coordinator show: what is not locked, or looked at before it is."""

from collections.abc import Iterable, Sequence

from tests.simulation.coordinator import Coordinator
from tests.simulation.mutants import Patches, mutant
from tests.simulation.tasks import Steps
from tests.simulation.work import Work


@mutant
def looks_before_it_takes(patches: Patches) -> None:
    """A message that another replica is taking is not waited for, and is handled by both."""

    def take(work: Work, ids: Sequence[str]) -> Steps[set[str]]:
        new = {name for name in ids if not work.world.database.knows(name)}
        work._taken += sorted(new)
        yield from ()
        return new

    patches.replace(Work, "take", take)


@mutant
def reads_without_a_lock(patches: Patches) -> None:
    """Sagas are read as they are, and written over what another replica has made of them meanwhile."""

    def lock(work: Work, deployments: Iterable[str]) -> Steps[None]:
        for name in set(deployments):
            work.hold(name)
        yield from ()

    patches.replace(Work, "lock", lock)


@mutant
def looks_before_it_locks(patches: Patches) -> None:
    """Whether the environment is free is asked before its row is locked."""
    take, is_free = Coordinator.take_environment, Coordinator.is_free
    found: dict[Coordinator, bool] = {}

    def take_environment(coordinator: Coordinator) -> Steps[bool]:
        found[coordinator] = is_free(coordinator)
        return (yield from take(coordinator))

    patches.replace(Coordinator, "take_environment", take_environment)
    patches.replace(Coordinator, "is_free", lambda coordinator: found[coordinator])
