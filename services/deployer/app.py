"""The deployer's process: every step on a target, and each one's undo."""

from services.deployer.handlers import handlers, undos
from services.deployer.questions import Questions
from services.deployer.settings import Settings
from services.deployer.targets.local.target import local_target
from shared.participant import Participant
from shared.process import run, started


async def main() -> None:
    """Serves the target's commands, and keeps the target as its records say, until it is told to stop."""
    settings = Settings()
    async with started("deployer", settings) as process:
        target = await process.enter(local_target(settings))
        process.check("engine", target.engine.ping)
        process.check("load balancer", target.balancer.ready)
        process.check("applications", target.reconcile.ready)
        process.spawn("reconcile", target.reconcile.run())
        process.spawn("questions", Questions(process.bus, settings.target, target.upkeep).run())
        process.spawn("commands", Participant("deployer", settings, process.bus, handlers(target), undos(target)).run())
        await process.until_stopped()


if __name__ == "__main__":
    run(main)
