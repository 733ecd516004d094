"""How bad a schedule is: each kind of trouble is off in most schedules, so that each shows what it does alone and with few others."""

from dataclasses import dataclass

from tests.simulation import faults
from tests.simulation.decisions import Decisions


@dataclass(frozen=True)
class Profile:
    """Probabilities of what can go wrong; drawn once a schedule."""

    from_the_start: bool
    """Trouble begins with the first push, not only when its deployment has the environment."""
    turns: int
    """Turns with trouble; after them all is calm."""
    former: int | None
    """Which application the environment runs at the start."""
    restored: bool
    """The target has seen higher epochs than the database knows: that was restored from an older backup."""
    pushes: int
    disorder: float
    """How often something else than the longest waiting goes on."""
    hurry: float
    """How often time passes though there is something to do."""
    strikes: float
    """Of a whole fault (`faults.KINDS`), a turn."""
    kinds: tuple[int, ...]
    people: float
    sick: str
    """A kind of step that mostly does its work and then fails."""
    sick_undo: str
    """A kind of step whose undo mostly fails."""
    failures: float
    slow: float
    hangs: float
    lost_acks: float
    lost_core: float
    bad_publishes: float
    late_requests: float
    reordered: float
    refusals: float
    approvals: float
    sync_s: float
    ending: bool
    """Credentials to clone with end: one is asked for before each clone."""


_SICK = (
    "", "check-endpoint", "switch", "check-container", "run-job", "deploy-container", "expose", "assign-domain", "provision-database", "retire",
)  # fmt: skip
_SICK_UNDO = ("", "switch", "expose", "run-job", "deploy-container", "issue-certificate", "provision-database")


def draw(decisions: Decisions) -> Profile:
    """A profile; all decisions 0: one push, and nothing goes wrong."""

    def some(rate: float) -> float:
        return rate if decisions.happens(0.35) else 0.0

    return Profile(
        from_the_start=decisions.happens(0.3),
        turns=(0, 100, 200, 300, 300, 500, 500, 500)[decisions.pick(8)],
        former=(None, 0, 1, 2, 3, 4)[decisions.pick(6)],
        restored=decisions.happens(0.1),
        pushes=1 + decisions.pick(3),
        disorder=(0.0, 0.3, 0.8)[decisions.pick(3)],
        hurry=some(0.03),
        strikes=(0.0, 0.01, 0.03, 0.1)[decisions.pick(4)],
        kinds=tuple(kind for kind in range(len(faults.KINDS)) if decisions.happens(0.4)),
        people=some(0.02),
        sick=_SICK[decisions.pick(len(_SICK), 0.7)],
        sick_undo=_SICK_UNDO[decisions.pick(len(_SICK_UNDO), 0.4)],
        failures=(0.0, 0.02, 0.1)[decisions.pick(3)],
        slow=(0.2, 0.8)[decisions.pick(2)],
        hangs=some(0.02),
        lost_acks=some(0.1),
        lost_core=some(0.3),
        bad_publishes=some(0.05),
        late_requests=some(0.5),
        reordered=some(0.5),
        refusals=some(0.05),
        approvals=some(0.2),
        sync_s=(120.0, 5.0)[decisions.pick(2)],
        ending=decisions.happens(0.2),
    )
