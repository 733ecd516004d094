"""Gates: what the deployments of some schedules have to ask, and the tool that is asked: it answers, says no, answers twice, late, or never."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.contracts.events import Event, GateRequested
from shared.contracts.gates import Before, Gate, Verdict
from shared.contracts.requests import AnswerRequested
from tests.simulation.streams import Consumer, Delivery
from tests.simulation.tasks import Nap, Party, Steps

if TYPE_CHECKING:
    from tests.simulation.world import World

DEADLINE_S = 40.0
_STAGES: tuple[tuple[Before, ...], ...] = (
    (Before.SWITCH,),
    (Before.DEPLOY, Before.SWITCH),
    (Before.BUILD,),
    (Before.DEPLOY, Before.DEPLOY),
    (Before.SWITCH, Before.SWITCH),
    (*Before,),
)


def gates_of(seed: int) -> tuple[Gate, ...]:
    """The gates of the environment: every fifth schedule has some. By its number, so that the decisions of the others stay as they are."""
    if seed % 5:
        return ()
    number = seed // 5
    default: Verdict = "pass" if number // len(_STAGES) % 2 else "fail"
    stages = _STAGES[number % len(_STAGES)]
    return tuple(
        Gate(name=f"gate{n}", id=f"id-{n}", before=before, deadline_s=DEADLINE_S, default=default) for n, before in enumerate(stages)
    )


def are_strange(seed: int) -> bool:
    """Whose tool answers what it was not asked, too: in every fourth of these schedules."""
    return seed // 5 % 4 == 3


@dataclass(eq=False)
class Tool(Party):
    """All gates' tool. What it is asked it acknowledges once it has answered, and so may answer again after a crash."""

    world: "World" = field(kw_only=True)
    asked: Consumer = field(kw_only=True)
    strange: bool = False
    """It answers what it was not asked, too."""

    def start(self, now: float) -> None:
        """Reads what it is asked."""
        super().start(now)
        self.asked.readers = [self.spawn("asked", self._read(), now)]

    def _read(self) -> Steps[None]:
        world = self.world
        while True:
            for delivery in self.asked.fetch(world.now, 10) if world.bus.up and world.api.up else []:
                yield 0.0
                self._take(delivery)
                yield 0.0
                delivery.acknowledge()
            at = self.asked.next_at(world.now)
            yield Nap(max(at - world.now, 0.0 if world.bus.up and world.api.up else 1.0))

    def _take(self, delivery: Delivery) -> None:
        event = delivery.stored.body
        assert isinstance(event, Event)
        fate = self.world.pick(6)
        kind = ("yes", "no", "twice", "late", "never", "at the last moment")[fate]
        self.world.tell(f"tool: {event.deployment} {event.step}: {kind}")
        self.world.counts[f"a gate answers: {kind}"] += 1
        if self.strange:
            self._answer_what_nobody_asked(event)
        if fate in {0, 2}:
            self._answer(event, "pass")
        if fate in {1, 2}:
            self._answer(event, "fail")
        if fate in {3, 5}:
            self.spawn("late", self._later(event, DEADLINE_S + (0.5 if fate == 3 else -0.5)), self.world.now)

    def _later(self, event: Event, seconds: float) -> Steps[None]:
        yield seconds
        self._answer(event, "pass")

    def _answer(self, event: Event, result: Verdict) -> None:
        fact = event.fact()
        assert isinstance(fact, GateRequested)
        self._say(event, fact.gate, f"id-{fact.gate.removeprefix('gate')}", result)

    def _answer_what_nobody_asked(self, event: Event) -> None:
        """For a gate that there is not, for one that had this one's name once, and for all others: not asked yet, or over."""
        fact = event.fact()
        assert isinstance(fact, GateRequested)
        strange = [("nobody", "id-0", "unknown"), (fact.gate, "id-of-old", "foreign")]
        strange += [(gate.name, gate.id, "another") for gate in self.world.gates if gate.name != fact.gate]
        for gate, gate_id, kind in strange:
            if self.world.happens(0.5):
                self.world.counts[f"an answer for a gate that is {kind}"] += 1
                self._say(event, gate, gate_id, "fail" if self.world.pick(2) else "pass")

    def _say(self, event: Event, gate: str, gate_id: str, result: Verdict) -> None:
        if self.world.api.up:
            said = {"gate": gate, "gate_id": gate_id, "result": result, "time": self.world.clock()}
            self.world.api.wish(AnswerRequested, target_deployment=event.deployment, **said)
