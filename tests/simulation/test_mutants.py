"""The simulator bites: every defect that is put in on purpose is found."""

import pytest

from tests.simulation import engine_mutants, surrounding_mutants
from tests.simulation.exploration import explore
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.shrinking import shrink

SCHEDULES = 3000
SHOWN_BY = {
    "cancels_after_the_pivot": 129,
    "counts_a_failure_twice": 35,
    "gives_up_without_a_word": 44,
    "cancels_what_was_decided": 44,
    "sends_what_is_over": 452,
    "takes_a_late_answer": 60,
    "acknowledges_first": 500,
    "writes_messages_after_the_commit": 25,
    "takes_silence_for_a_word": 26,
    "keeps_timers_in_memory": 144,
    "has_no_fence": 106,
    "keeps_a_fence_in_each_process": 805,
    "never_sweeps": 1525,
    "sweeps_jobs_away": 278,
    "runs_jobs_again": 27,
    "leaves_the_former_stopped": 517,
    "labels_nothing": 1106,
    "trusts_a_stream_that_it_did_not_know": 747,
    "goes_by_the_databases_clock": 143,
}
"""Schedules that are known to show a defect are tried first; where they do not any more, all are."""
__all__ = ["engine_mutants", "surrounding_mutants"]


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
def test_every_defect_is_found(mutant: Mutant) -> None:
    """And the schedule that shows it shows nothing when the defect is taken out."""
    with mutant.here():
        seeds = (SHOWN_BY.get(mutant.name, 0), *range(SCHEDULES))
        found = next((found for seed in seeds if (found := explore(seed)) is not None), None)
        assert found is not None, f"nobody sees it: {mutant.says}"
        assert explore(found.seed, found.decisions) is not None
    assert explore(found.seed, found.decisions) is None


def test_a_schedule_that_shows_a_defect_is_made_short() -> None:
    """It still shows the same."""
    with MUTANTS["skips_an_undo"].here():
        found = next(found for seed in range(SCHEDULES) if (found := explore(seed)) is not None)
        short = shrink(found, tries=150)
        assert explore(short.seed, short.decisions) is not None
    assert len(short.decisions or ()) < len(found.decisions or ())
