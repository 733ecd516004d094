"""The coordinator's database was restored from an older backup than what targets have seen since."""

from pathlib import Path

from services.deployer.fence import Fence
from shared.contracts.commands import Command
from shared.contracts.facts import Fact
from shared.work import Work
from tests.component.coordinator.world import World, world


class Fenced:
    """The deployer's own fence before what the world's participants do."""

    def __init__(self, made: World, folder: Path) -> None:
        self.fence = Fence(folder)
        self._made = made
        self._handle = made.handle

    async def __call__(self, command: Command, work: Work) -> Fact:
        """Refuses lower epochs, as the deployer does."""
        if command.epoch is not None:
            await self.fence.admit(command)
        return await self._handle(command, work)


async def test_the_next_deployment_goes_through(nats_url: str, postgres_dsn: str, tmp_path: Path) -> None:
    """The first is refused and rolled back; the environment's epoch has followed the target's, so the second succeeds."""
    async with world(nats_url, postgres_dsn, handle=lambda made: Fenced(made, tmp_path)) as made:
        change = await made.push("a")
        await made.event("DeploymentSucceeded")
        await Fence(tmp_path).admit(next(command for command in made.commands if command.epoch).model_copy(update={"epoch": 500}))
        await made.push("b")
        rolled_back = await made.event("DeploymentRolledBack")
        assert rolled_back.data["failure"]["code"] == "lower_epoch"  # type: ignore[call-overload, index]
        await made.push("c")
        await made.event("DeploymentSucceeded", count=2)
        epoch = await made.coordinator.pool.fetchval("SELECT epoch FROM environments WHERE project = $1", change.project)
        assert epoch == Fence(tmp_path).highest(made.commands[-1].place) > 500
