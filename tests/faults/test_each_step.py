"""Every step of the saga's table meets every fault, on whole platforms: what is expected stands in `table`."""

import sys
from collections.abc import Iterator

import pytest

from tests.e2e.platform import running_platform
from tests.faults.lanes import Lanes
from tests.faults.table import CASES, Case

LANES = 6
PATIENCE = {"SLIPWAY_SILENCE_S": "3", "SLIPWAY_BACKOFF_S": "0.2"}


@pytest.fixture(scope="module")
def lanes(request: pytest.FixtureRequest) -> Iterator[Lanes]:
    """All chosen cases at work."""
    names = {item.name for item in request.session.items if item.path == request.path}
    chosen = [case for case in CASES if f"{test_it_ends_as_the_table_says.__name__}[{case}]" in names]
    with running_platform((sys.executable, "-m", "tests.faults.stack"), **PATIENCE) as platform:
        lanes = Lanes.start(platform, chosen, min(LANES, len(chosen)))
        yield lanes
        lanes.cases.clear()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_ends_as_the_table_says(case: Case, lanes: Lanes) -> None:
    """The end, the release that answers, and the target object by object."""
    lanes.results[case].result(timeout=290)
