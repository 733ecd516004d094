"""Participants that hang, answer late, twice or nonsense; and a target whose deployer is away for long."""

import asyncio
import json
import signal
import time

from tests.faults.strikes.kinds.bus import nobody_restarts
from tests.faults.strikes.kinds.strike import Scene, Strike

PARTICIPANTS = ("auth", "builder", "deployer")
QUEUE_LIMIT_S = 25
"""Of the platform whose deployer is away: an hour and half an hour, made short."""


def hangs(scene: Scene) -> None:
    """It stands still for longer than it may be silent, and then goes on where it was: its answer is late."""
    name = scene.chance.choice(PARTICIPANTS)
    pid = scene.machine.signal(name, signal.SIGSTOP)
    time.sleep(scene.chance.uniform(3.0, 35.0))
    assert scene.machine.pid(name) == pid
    scene.machine.signal(name, signal.SIGCONT)


def answers_twice(scene: Scene) -> None:
    """What was answered lately is answered again, under fresh ids, old before new."""
    _publish(scene, [(message.subject, dict(message.headers or {}), message.data) for message in scene.watch.recent[-60:]])


def answers_late(scene: Scene) -> None:
    """A second answer of every step comes when the deployment is long past it, in any order."""
    kept = [(message.subject, dict(message.headers or {}), message.data) for message in scene.watch.recent]
    scene.chance.shuffle(kept)
    time.sleep(3.0)
    _publish(scene, kept)


def answers_nonsense(scene: Scene) -> None:
    """Answers of steps at work that name facts, attempts, epochs and outcomes that cannot be."""
    changes: tuple[dict[str, object], ...] = (
        {"outcome": "done", "name": "NoSuchFact", "data": {"x": [1, 2]}},
        {"outcome": "done", "name": "TrafficSwitched", "data": {}},
        {"outcome": "done", "name": None, "data": {}},
        {"attempt": 99},
        {"attempt": -1},
        {"epoch": 10**9},
        {"direction": "undo"},
        {"deployment": "nobody"},
        {"step": "no-such-step"},
        {"outcome": "refused", "seen_epoch": 0},
        {"outcome": "perhaps"},
    )
    made = []
    for message in scene.watch.recent[-30:]:
        said = json.loads(message.data) | scene.chance.choice(changes)
        made.append((message.subject, dict(message.headers or {}), json.dumps(said).encode()))
    _publish(scene, made)


def _publish(scene: Scene, messages: list[tuple[str, dict[str, str], bytes]]) -> None:
    async def publish() -> None:
        client = await scene.watch.connect()
        try:
            for subject, headers, body in messages:
                fresh = {"Nats-Msg-Id": f"again-{scene.chance.getrandbits(60)}"}
                await client.jetstream().publish(subject, body, headers=headers | fresh)
        finally:
            await client.close()

    asyncio.run(publish())


def deployer_away(scene: Scene) -> None:
    """The target's deployer is away for longer than a command may wait."""
    with nobody_restarts(scene.machine):
        scene.machine.signal("deployer", signal.SIGKILL)
        time.sleep(QUEUE_LIMIT_S * scene.chance.uniform(0.5, 2.0))


KINDS = (
    Strike("participant hangs", hangs),
    Strike("participant answers twice", answers_twice, most=3),
    Strike("participant answers late", answers_late, most=2),
    Strike("participant answers nonsense", answers_nonsense, most=3),
    Strike(
        "deployer away for long",
        deployer_away,
        may_end=frozenset({"failed", "rolled_back"}),
        retried=True,
        rig={"SLIPWAY_QUEUE_LIMIT_S": str(QUEUE_LIMIT_S)},
    ),
)
