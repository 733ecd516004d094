"""Defects after which what was pushed or wished is not done, though every deployment ends and every message has its answer."""

from collections.abc import Callable

from services.coordinator import answers, compensation, course
from services.coordinator import inputs as i
from services.coordinator.move import Move
from services.coordinator.saga import DeploymentState, Step
from shared.contracts.changes import ChangePushed
from shared.contracts.events import BuildPlanned
from shared.contracts.facts import ApprovalRequested, DeploymentDenied, Fact
from tests.simulation import deliveries, wishes
from tests.simulation.mutants import Patches, mutant
from tests.simulation.settling import settle
from tests.simulation.tasks import Steps
from tests.simulation.work import Work
from tests.simulation.world import World


@mutant
def takes_only_the_first_push(patches: Patches) -> None:
    """Every later push is settled as ignored."""
    real = deliveries.take

    def take(work: Work, message: ChangePushed) -> Steps[None]:
        if work.world.database.taken is None:
            yield from real(work, message)
        else:
            yield from work.take([message.id])
            settle(work, message, deliveries._ignored(message))

    patches.replace(deliveries, "take", take)


@mutant
def ignores_every_second_push(patches: Patches) -> None:
    """It counts as taken, and nothing is deployed."""
    real = deliveries._deploy

    def deploy(work: Work, message: ChangePushed) -> None:
        if int(message.commit, 16) % 2:
            real(work, message)
            return
        work.then(lambda: setattr(work.world.database, "taken", message))
        settle(work, message, deliveries._ignored(message))

    patches.replace(deliveries, "_deploy", deploy)


@mutant
def refuses_every_cancel(patches: Patches) -> None:
    """Also of what could be cancelled."""
    real = wishes._move

    def move(work: Work, deployment: str, message: i.Input, only: DeploymentState | None = None) -> Steps[None]:
        if isinstance(message, i.Cancelled):
            raise wishes.Impossible("no")
        yield from real(work, deployment, message, only)

    patches.replace(wishes, "_move", move)


@mutant
def answers_a_cancel_and_goes_on(patches: Patches) -> None:
    """Before the lock a cancel is heard, and nothing comes of it."""
    real = course.cancelled

    def cancelled(move_: Move, wish: i.Cancelled) -> None:
        if move_.saga.epoch is None:
            move_.emit(BuildPlanned(built=(), unchanged=()), cause=wish.cause)
        else:
            real(move_, wish)

    patches.replace(course, "cancelled", cancelled)


@mutant
def takes_a_cancel_for_a_failure(patches: Patches) -> None:
    """What was cancelled ends as rolled back."""
    real: Callable[..., None] = compensation.start

    def start(move_: Move, _ends_as: DeploymentState, *given: object, **more: object) -> None:
        real(move_, DeploymentState.ROLLED_BACK, *given, **more)

    patches.replace(compensation, "start", start)


@mutant
def asks_nobody(patches: Patches) -> None:
    """What needs an approval goes on without."""
    real = answers._apply

    def apply(move_: Move, step: Step, fact: Fact) -> None:
        if isinstance(fact, ApprovalRequested):
            course.authorised(move_)
        else:
            real(move_, step, fact)

    patches.replace(answers, "_apply", apply)


@mutant
def turns_back_without_a_reason(patches: Patches) -> None:
    """A candidate that is healthy turns the deployment back."""
    real = answers._apply

    def apply(move_: Move, step: Step, fact: Fact) -> None:
        real(move_, step, fact)
        if step.kind == "check-container":
            compensation.start(move_, DeploymentState.ROLLED_BACK, "no reason", None)

    patches.replace(answers, "_apply", apply)


@mutant
def deploys_nothing(patches: Patches) -> None:
    """Everybody is denied, though nothing goes wrong."""
    patches.replace(World, "fact", lambda _world, _command: DeploymentDenied(rule="no", reason="nobody may"))
