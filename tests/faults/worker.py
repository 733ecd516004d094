"""The real processes of auth, builder and deployer, their participants able to meet faults. Which of them: the bus user says."""

import os

import services.auth.app
import services.builder.app
import services.deployer.app
import services.deployer.targets.local.target
import shared.participant
from tests.faults.injection import FaultyParticipant, TestedFence

APPS = {"auth": services.auth.app, "builder": services.builder.app, "deployer": services.deployer.app}
REPLACED: tuple[tuple[object, str, object], ...] = (
    *((app, "Participant", FaultyParticipant) for app in APPS.values()),
    (services.deployer.targets.local.target, "Fence", TestedFence),
    # Beats come ten times as often, and so silence is noticed sooner.
    (shared.participant, "BEAT_S", 0.5),
)
"""What the processes find under these names: subclasses of what they would find."""


async def main() -> None:
    """Runs until it is told to stop, or until a fault ends it."""
    for module, name, tested in REPLACED:
        setattr(module, name, tested)
    await APPS[os.environ["SLIPWAY_NATS_USER"]].main()
