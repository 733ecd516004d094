"""The simulator bites: every defect that is put in on purpose is found."""

import pytest

from tests.simulation.all_mutants import MUTANTS, Mutant
from tests.simulation.exploration import explore
from tests.simulation.shrinking import shrink

SCHEDULES = 3000
SHOWN_BY = {
    "removes_what_was_updated": 261,
    "tells_the_catalogue_without_a_lock": 1745,
    "plans_before_the_catalogue_knows_of_a_removal": 79326,
    "asks_for_a_removal_once": 534,
    "cancels_after_the_pivot": 128,
    "counts_a_failure_twice": 77,
    "gives_up_without_a_word": 158,
    "cancels_what_was_decided": 71,
    "ends_while_steps_are_at_work": 106,
    "loses_workers_for_ever": 237,
    "sends_what_it_takes_back": 2238,
    "takes_an_answer_for_another_gate": 75,
    "sends_what_is_over": 903,
    "takes_a_late_answer": 120,
    "acknowledges_first": 188,
    "takes_silence_for_a_word": 26,
    "keeps_timers_in_memory": 943,
    "has_no_fence": 118,
    "keeps_a_fence_in_each_process": 152,
    "never_sweeps": 264,
    "sweeps_only_when_it_reconciles": 1859,
    "keeps_what_another_deployment_replaced": 176,
    "tells_nobody_of_what_was_left": 866,
    "removes_jobs_that_run_by_now": 71275,
    "reconciles_without_a_sweep": 264,
    "leaves_what_a_removed_database_left": 3080,
    "returns_to_what_runs": 277,
    "sweeps_jobs_away": 1030,
    "leaves_the_former_stopped": 916,
    "labels_nothing": 866,
    "trusts_a_stream_that_it_did_not_know": 6052,
    "goes_by_the_databases_clock": 143,
    "believes_that_all_is_handed_over": 4,
    "looks_before_it_takes": 3417,
    "reads_without_a_lock": 5,
    "looks_before_it_locks": 2417,
}
"""Schedules that are known to show a defect are tried first; where they do not any more, all are."""


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
