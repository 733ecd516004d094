"""NATS away for long, or without what it stored; messages that nobody can read."""

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.strikes.books import OURS
from tests.faults.strikes.kinds.strike import Scene, Strike
from tests.faults.strikes.machine import Machine

UNREADABLE = (
    ("slipway.chg.main.unknown", "slipway.ChangePushed.v99"),
    ("slipway.req.main.deploy", "slipway.DeployRequested.v99"),
    ("slipway.cmd.local.deployer.effects.nobody-deploy-container-web.do.1", "slipway.DeployContainer.v99"),
    ("slipway.cmd._.auth.effects.nobody-authorise.do.1", "slipway.AuthorizeDeployment.v99"),
    ("slipway.res.local.deployer.nobody-switch-web", "slipway.Answer.v99"),
    ("slipway.evt.main._._.change.taken", "slipway.Event.v99"),
    ("slipway.log.local.nobody.build-web", "slipway.LogLines.v99"),
)


@contextmanager
def nobody_restarts(machine: Machine) -> Iterator[None]:
    """The supervisor is asleep: what dies meanwhile stays dead."""
    pid = machine.signal("supervisor", signal.SIGSTOP)
    try:
        yield
    finally:
        machine.signal("supervisor", signal.SIGCONT)
        assert machine.supervisor == pid


def away(scene: Scene) -> None:
    """NATS is down, for most of a minute or for minutes."""
    with nobody_restarts(scene.machine):
        scene.machine.signal("nats", signal.SIGKILL)
        time.sleep(scene.outage_s())


def loses_its_store(scene: Scene) -> None:
    """NATS dies, and with it all that it stored."""
    with nobody_restarts(scene.machine):
        scene.machine.signal("nats", signal.SIGKILL)
        time.sleep(0.3)
        shutil.rmtree(scene.machine.home.nats / "jetstream", ignore_errors=True)


def platform_loses_its_streams(scene: Scene) -> None:
    """The platform is ended in order, NATS's store is deleted, and the platform is started again."""
    scene.machine.down()
    shutil.rmtree(scene.machine.home.nats / "jetstream", ignore_errors=True)
    scene.machine.up()


def unreadable(scene: Scene) -> None:
    """A message of a version that nobody knows in every stream, and one that is no JSON at all."""

    async def publish() -> None:
        client = await scene.watch.connect()
        try:
            for subject, kind in UNREADABLE:
                for body, name in ((b'{"id": "x"}', kind), (b"\xff\x00 no JSON", kind.replace("v99", "v1"))):
                    number = scene.chance.getrandbits(40)
                    headers = {"ce-type": name, "ce-id": f"{OURS}{number}", "ce-source": "future", "ce-specversion": "1.0"}
                    where = subject.replace("nobody", f"nobody{number}")
                    await client.jetstream().publish(where, body, headers=headers | {"Nats-Msg-Id": f"{number}"})
        finally:
            await client.close()

    asyncio.run(publish())


KINDS = (
    Strike("NATS away", away),
    Strike("NATS loses its store", loses_its_store),
    Strike("streams deleted while down", platform_loses_its_streams),
    Strike("unreadable messages", unreadable, most=2),
)
