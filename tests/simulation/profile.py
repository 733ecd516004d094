"""How bad a schedule is: each kind of trouble is off in most schedules, so that each shows what it does alone and with few others."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulation import applications, faults
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
    sickness: float
    """How often they fail."""
    idle: bool
    """They fail before they have done anything."""
    deadly: str
    """A kind of step that kills its worker's process."""
    strange: float
    """Of an answer that answers nothing: told twice, in another's name, of another epoch, or what nobody can read."""
    failures: float
    slow: float
    hangs: float
    lost_acks: float
    lost_core: float
    bad_publishes: float
    late_requests: float
    abandoned: float
    """Of a worker that dies when it has asked the container engine for something."""
    reordered: float
    refusals: float
    approvals: float
    sync_s: float
    ending: bool
    """Credentials to clone with end: one is asked for before each clone."""
    silent_forge: float
    """Who is asked for one takes longer than a command may wait."""
    going_back: float
    """A push is of a commit that was pushed before."""
    variants: tuple[int, ...]
    """The applications that are pushed."""


_SICK = (
    "", "check-endpoint", "switch", "check-container", "run-job", "deploy-container", "expose", "assign-domain", "provision-database", "retire",
)  # fmt: skip
_SICK_UNDO = ("", "switch", "expose", "run-job", "deploy-container", "issue-certificate", "provision-database")


def draw(decisions: Decisions, seed: int) -> Profile:
    """A profile; all decisions 0: one push, and nothing goes wrong. What would be too rare has some schedules of its own, by their number,
    so that the decisions of the others stay as they are."""
    return _OF_THEIR_OWN.get(seed % 23, _as_it_is)(_drawn(decisions), seed // 23)


def _drawn(decisions: Decisions) -> Profile:
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
        sickness=0.7,
        idle=False,
        deadly="",
        strange=0.0,
        failures=(0.0, 0.02, 0.1)[decisions.pick(3)],
        slow=(0.2, 0.8)[decisions.pick(2)],
        hangs=some(0.02),
        lost_acks=some(0.1),
        lost_core=some(0.3),
        bad_publishes=some(0.05),
        late_requests=some(0.5),
        abandoned=0.0,
        reordered=some(0.5),
        refusals=some(0.05),
        approvals=some(0.2),
        sync_s=(120.0, 5.0)[decisions.pick(2)],
        ending=decisions.happens(0.2),
        silent_forge=0.0,
        going_back=0.0,
        variants=applications.USUAL,
    )


def _as_it_is(drawn: Profile, _number: int) -> Profile:
    return drawn


def _alone(drawn: Profile) -> Profile:
    """Hardly anything else goes wrong."""
    now = replace(drawn, people=0.0, strikes=0.0, failures=0.0, hangs=0.0, refusals=0.0, approvals=0.0)
    return replace(now, hurry=0.0, slow=0.0, lost_core=0.0)


def _stuck(drawn: Profile, number: int) -> Profile:
    """The way back stops at an undo, with others behind it."""
    at = ("deploy-container", "run-job", "switch", "expose", "provision-database")[number % 5]
    sick = ("check-endpoint", "switch", "check-container")[number % 3]
    now = _alone(drawn) if number % 2 else drawn
    return replace(now, turns=1000, sick=sick, sick_undo=at, sickness=1.0, hangs=0.0, variants=applications.WITH_DATABASES)


def _deadly(drawn: Profile, number: int) -> Profile:
    """A step kills whoever works at it, until nobody tries again."""
    step = ("deploy-container", "build", "run-job", "switch", "check-container", "inspect")[number % 6]
    early = step in {"build", "inspect"}
    return replace(_alone(drawn), from_the_start=early, turns=1000, sick="", deadly=step, variants=applications.WITH_DATABASES)


def _strange(drawn: Profile, _number: int) -> Profile:
    """Participants say what nobody has asked them."""
    return replace(drawn, turns=500, strange=0.3)


def _without_credential(drawn: Profile, _number: int) -> Profile:
    """Credentials end on their way, or are not to be had."""
    kinds = (*drawn.kinds, *(faults.KINDS.index(faults.clock),) * 3)
    return replace(drawn, from_the_start=True, turns=300, pushes=3, strikes=0.1, kinds=kinds, ending=True, silent_forge=0.3)


def _going_back(drawn: Profile, _number: int) -> Profile:
    """The branch is set back, with `git push --force`."""
    return replace(drawn, from_the_start=True, turns=500, pushes=5, going_back=0.6)


def _other_databases(drawn: Profile, number: int) -> Profile:
    """Databases grow, shrink, or are asked for in another version; people go back, or what is pushed fails."""
    sick = ("check-endpoint", "", "check-container", "")[number % 4]
    return replace(drawn, turns=800, former=3, pushes=4, people=0.06, sick=sick, variants=applications.OF_OTHER_DATABASES)


def _abandoned(drawn: Profile, _number: int) -> Profile:
    """Workers die when they have asked the container engine for something, and it comes to that later."""
    kinds = (*drawn.kinds, *(faults.KINDS.index(faults.land),) * 5)
    return replace(drawn, turns=500, strikes=0.05, kinds=kinds, late_requests=1.0, abandoned=0.15, variants=applications.WITH_DATABASES)


def _unretired(drawn: Profile, _number: int) -> Profile:
    """Releases that were replaced cannot be retired, and a later deployment turns back."""
    return replace(_alone(drawn), turns=3000, former=3, people=0.01, sick="retire", sickness=1.0, idle=True, failures=0.01)


_OF_THEIR_OWN: dict[int, Callable[[Profile, int], Profile]] = {
    2: _stuck,
    7: _deadly,
    9: _strange,
    10: _without_credential,
    12: _going_back,
    15: _unretired,
    16: _other_databases,
    17: _strange,
    19: _stuck,
    21: _abandoned,
}
