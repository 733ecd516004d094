"""Many schedules, each another combination of what can go wrong: no sentence of the design is ever broken."""

import re
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from tests.simulation.exploration import Found, explore, told
from tests.simulation.shrinking import shrink

SCHEDULES, PARTS = 2100, 10
GOES_WRONG = (
    # processes, the bus, the clock
    "a process dies", "a coordinator dies", "connections are cut", "a worker sleeps", "a replica sleeps",
    "COMMANDS lost its end", "RESULTS lost its end", "EVENTS lost its end", "CHANGES lost its end", "REQUESTS lost its end",
    "new streams", "an outage", "an acknowledgement is lost", "no word: lost", "no word: stored", "no word: under way",
    "a late publish arrives", "reordered", "the clock goes back", "the clock goes forward",
    # workers and the target
    "passes", "for good", "lasts", "a defect", "a sick do", "a sick undo", "a worker hangs", "a worker is killed by its step",
    "a request stays under way", "a late request lands", "reconciled",
    "denied", "approval", "nonsense of a do", "nonsense of a undo", "an answer cannot be read", "an answer comes twice",
    "another participant answers", "another target answers", "another epoch is answered", "a later attempt is answered", "another fact is told",
    # people, gates, the catalogue, the forge
    "a stuck deployment is retried", "a stuck deployment is accepted as it stands",
    "a gate answers: yes", "a gate answers: no", "a gate answers: twice", "a gate answers: late", "a gate answers: never",
    "a gate answers: at the last moment", "an answer for a gate that is unknown", "an answer for a gate that is foreign",
    "an answer for a gate that is another", "the catalogue says no", "no credential", "the forge is silent", "a credential has ended",
    # what that comes to
    "DeploymentFailed: worker_lost", "DeploymentRolledBack: worker_lost", "DeploymentFailed: worker_killed", "DeploymentFailed: clone_denied",
    "DeploymentFailed: database_no_way_back", "DeploymentStuck: sick", "DeploymentStuck: not_accepted", "SourceInspected: stale",
    "RetirementFailed: sick", "a release was left", "a changed database is undone", "a roll-back to another database",
)  # fmt: skip


@cache
def gone_wrong_in(part: int) -> Counter[str]:
    """Runs some of the schedules: how often each thing went wrong in them."""
    counts = Counter[str]()
    for seed in range(part, SCHEDULES, PARTS):
        found = explore(seed, counts=counts)
        assert found is None, f"{told(shrink(found))}\npython -m tests.simulation --seed {seed}"
    return counts


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_breaks_a_sentence(part: int) -> None:
    """Whatever strikes: it ends, and what stands on the target is what the final state says."""
    gone_wrong_in(part)


def test_everything_goes_wrong_somewhere() -> None:
    """What no schedule does proves nothing. In these very schedules each thing happens that can go wrong."""
    counts = sum((gone_wrong_in(part) for part in range(PARTS)), Counter[str]())
    assert [kind for kind in GOES_WRONG if not counts[kind]] == []


def test_a_schedule_is_the_same_whenever_it_is_run() -> None:
    """By its number, and by its decisions."""
    first, again = told(Found(7, "", None)), told(Found(7, "", None))
    assert first == again
    assert "succeeded" in first.lower()


def test_a_schedule_leaves_nothing_to_the_next() -> None:
    """What number 199 pushed was once told to number 212 as its own."""
    words = ("--first", "199", "--schedules", "14", "--workers", "1")
    done = subprocess.run([sys.executable, "-m", "tests.simulation", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_first_violation_of_many_schedules_is_printed_whole() -> None:
    """As short as it gets; of the others the sentence, by which they can be replayed."""
    words = ("--mutant", "deploys_nothing", "--schedules", "6", "--workers", "1")
    done = subprocess.run([sys.executable, "-m", "tests.simulation", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("VIOLATION: nothing goes wrong, and the environment is not taken") == 1
    assert re.search(r"\nschedule \d+: \d+ decisions, shown with \d+: nothing goes .*\nschedule \d+: nothing goes ", done.stdout)
