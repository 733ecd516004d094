"""Participants that hang, answer late, twice or nonsense; and a target whose deployer is away for long."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from pydantic import JsonValue

from shared.messages import utc_now
from tests.faults.strikes import books
from tests.faults.strikes.answers import Said, Step, Wire, at_work, in_time, read, seen
from tests.faults.strikes.kinds.bus import nobody_restarts
from tests.faults.strikes.kinds.strike import DidNotStrike, Scene, Strike
from tests.polling import until

PARTICIPANTS = ("auth", "builder", "deployer")
NONSENSE: tuple[Mapping[str, JsonValue], ...] = (
    {"outcome": "done", "name": "NoSuchFact", "data": {"x": [1, 2]}},
    {"outcome": "done", "name": "TrafficSwitched", "data": {}},
    {"outcome": "done"},
    {"outcome": "failed", "attempt": 99},
    {"outcome": "failed", "attempt": -1},
    {"outcome": "failed", "epoch": 10**9},
    {"outcome": "failed", "direction": "undo"},
    {"outcome": "failed", "participant": "nobody"},
    {"outcome": "failed", "deployment": "nobody"},
    {"outcome": "failed", "step": "no-such-step"},
    {"outcome": "refused", "seen_epoch": 0},
    {"outcome": "perhaps"},
)
EACH_STEP = 3
MOST = 60
"""Messages at once: what passed before them is to be remembered."""
LATE = timedelta(seconds=2)
WORK_LIMIT_S = 20.0
SEEN_LIMIT_S = 5.0
QUEUE_LIMIT_S = 25
"""Of the platform whose deployer is away: an hour and half an hour, made short."""


def hangs(scene: Scene) -> str:
    """It stands still for longer than it may be silent, and then goes on where it was: its answer is late."""
    name = scene.chance.choice(PARTICIPANTS)
    pid = scene.machine.signal(name, signal.SIGSTOP)
    time.sleep(scene.chance.uniform(3.0, 35.0))
    assert scene.machine.pid(name) == pid
    scene.machine.signal(name, signal.SIGCONT)
    return name


def answers_twice(scene: Scene) -> None:
    """What was answered of deployments at work is answered again, old before new."""
    _answer(scene, lambda steps: [said.again(_number(scene)) for said in _of_their_deployments(scene, steps)[-MOST:]])


def answers_late(scene: Scene) -> None:
    """What was answered of deployments at work some time ago is answered again, in any order."""

    def old(steps: Mapping[Step, Said]) -> list[Wire]:
        now = utc_now()
        kept = [said for said in _of_their_deployments(scene, steps) if now - said.answer.time > LATE]
        scene.chance.shuffle(kept)
        return [said.again(_number(scene)) for said in kept[:MOST]]

    _answer(scene, old)


def answers_nonsense(scene: Scene) -> None:
    """Answers of steps at work that name facts, participants, attempts, epochs and outcomes that cannot be."""
    _answer(
        scene,
        lambda steps: [
            said.again(_number(scene), changed) for said in steps.values() for changed in scene.chance.sample(NONSENSE, EACH_STEP)
        ],
    )


def _of_their_deployments(scene: Scene, steps: Mapping[Step, Said]) -> list[Said]:
    deployments = {deployment for deployment, _, _ in steps}
    return [said for said in read(scene.watch.recent) if said.answer.deployment in deployments]


def _answer(scene: Scene, form: Callable[[Mapping[Step, Said]], list[Wire]]) -> None:
    """Publishes what is formed for the steps at work; again, until some of it passed while one of them still was."""
    machine = scene.machine
    deadline = time.monotonic() + WORK_LIMIT_S
    client = machine.background.call(scene.watch.connect())
    try:
        while time.monotonic() < deadline:
            live = {deployment.id for deployment in books.read(machine).deployments if not deployment.ended}
            steps = {step: said for step, said in at_work(scene.watch.recent).items() if step[0] in live}
            made = form(steps)
            for message in made:
                machine.background.call(client.jetstream().publish(message.subject, message.body, headers=message.headers))
            if made and _passed(scene, made, steps):
                return
            time.sleep(0.01)
    finally:
        machine.background.call(client.close())
    raise DidNotStrike(f"no step was at work within {WORK_LIMIT_S:.0f} s")


def _passed(scene: Scene, made: Sequence[Wire], steps: Mapping[Step, Said]) -> bool:
    names = {message.name for message in made}
    until(lambda: seen(scene.watch.recent, names), within=SEEN_LIMIT_S, every=0.01, what="the strike's own messages pass")
    return in_time(scene.watch.recent, names, steps.keys())


def _number(scene: Scene) -> int:
    return scene.chance.getrandbits(60)


def deployer_away(scene: Scene) -> None:
    """The target's deployer is away for longer than a command may wait."""
    with nobody_restarts(scene.machine):
        scene.machine.signal("deployer", signal.SIGKILL)
        time.sleep(QUEUE_LIMIT_S * scene.chance.uniform(0.5, 2.0))


KINDS = (
    Strike("participant hangs", hangs),
    Strike("participant answers twice", answers_twice, most=3),
    Strike("participant answers late", answers_late, most=2),
    Strike("participant answers nonsense", answers_nonsense, most=3, may_end=frozenset({"failed", "rolled_back"})),
    Strike(
        "deployer away for long",
        deployer_away,
        may_end=frozenset({"failed", "rolled_back"}),
        retried=True,
        rig={"SLIPWAY_QUEUE_LIMIT_S": str(QUEUE_LIMIT_S)},
    ),
)
