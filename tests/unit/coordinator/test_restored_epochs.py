"""The coordinator's database was restored from a backup: the target has seen higher epochs than the coordinator remembers."""

from dataclasses import dataclass

from services.coordinator.saga import DeploymentState
from shared.contracts.answers import Failure, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.manifest import DatabaseManifest, Manifest, ServiceManifest
from tests.unit.coordinator.scenario import Scenario, fails

TAKEN = 7
"""The epoch that a scenario's deployment takes the environment with."""
TWO_DATABASES = Manifest(
    services={"web": ServiceManifest(port=3000, databases=("db", "other"))},
    databases={"db": DatabaseManifest(), "other": DatabaseManifest()},
)


@dataclass
class Fenced(Scenario):
    """A world whose target has a fence: it remembers the highest epoch, and refuses lower ones."""

    highest: int = 0

    def respond(self, command: Command) -> None:
        """Refuses what is below the fence; answers the rest as the script says."""
        if command.epoch is not None and command.epoch < self.highest:
            failure = Failure(code="lower_epoch", message=f"seen {self.highest}, this has {command.epoch}")
            refused = self.answer(command, Outcome.REFUSED, failure=failure)
            self.feed(refused.model_copy(update={"seen_epoch": self.highest}))
            return
        self.highest = max(self.highest, command.epoch or 0)
        super().respond(command)


def test_a_deployment_below_the_fence_fails_and_leaves_an_epoch_that_the_target_takes() -> None:
    """It is rolled back at once, under an epoch above all that the target has seen: the next deployment's is higher still."""
    scenario = Fenced(highest=40).run()
    assert scenario.saga.state is DeploymentState.ROLLED_BACK
    assert scenario.saga.epoch is not None
    assert scenario.saga.epoch > 40
    assert scenario.saga.failure is not None
    assert scenario.saga.failure.code == "lower_epoch"
    assert {command.attempt for command in scenario.commands if command.direction is Direction.UNDO} == {1}


def test_steps_that_were_sent_beside_the_refused_one_are_awaited_with_the_epoch_that_they_carry() -> None:
    """Of two steps sent at once both refusals count, though the first has raised the deployment's epoch."""
    scenario = Fenced(highest=40, manifest=TWO_DATABASES).run()
    assert len([command for command in scenario.commands if command.epoch == TAKEN]) > 1
    assert scenario.saga.state is DeploymentState.ROLLED_BACK
    assert scenario.now == scenario.saga.created_at, "it waited for an answer that had come already"


def test_an_undo_below_the_fence_is_sent_again_above_it() -> None:
    """The backup was taken while a deployment was being rolled back."""
    scenario = Fenced(script=fails("check-container-web"))
    scenario.run(lambda now: now.saga.state is DeploymentState.COMPENSATING)
    scenario.highest = 40
    assert scenario.run().saga.state is DeploymentState.ROLLED_BACK
    assert scenario.saga.epoch is not None
    assert scenario.saga.epoch > 40


def test_a_refusal_that_names_no_higher_epoch_raises_nothing() -> None:
    """A worker that wakes up after the deployment turned back is refused by the deployment's own epoch."""
    scenario = Fenced(script=fails("check-container-web")).run()
    assert scenario.saga.state is DeploymentState.ROLLED_BACK
    assert scenario.saga.epoch == TAKEN + 1
