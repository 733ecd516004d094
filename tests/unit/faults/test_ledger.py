"""The ledger of strikes: sittings add up, and its page is what it says."""

from dataclasses import replace
from pathlib import Path

from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.ledger import Blow, Ledger, Run
from tests.faults.strikes.report import render
from tests.faults.strikes.sitting import plans

DOCS = Path(__file__).parents[3] / "docs"
BLOW = Blow("after 1.0 s", came=True, at_work=("good: running",), hit="kill NATS")
RUN = Run(seed=1, kind="kill NATS", turn=0, moments=("after 1.0 s",), deployments=5, requests=100, at=10.0, blows=(BLOW,))


def test_sittings_add_up(tmp_path: Path) -> None:
    """What was good is done; what was found wrong is done again in the next sitting, and stays listed until then."""
    path = tmp_path / "faults.jsonl"
    bad = replace(RUN, turn=1, wrong=("a container is left",))
    for run in (RUN, bad):
        Ledger.open(path).add(run)
    found = Ledger.open(path)
    assert found.runs == [RUN, bad]
    assert found.done(since=20.0) == {RUN.name}
    assert found.done(since=10.0) == {RUN.name, bad.name}
    assert "kill NATS, turn 1 of seed 1: a container is left" in render(found.newest)
    found.add(replace(bad, wrong=(), at=30.0))
    assert found.done(since=40.0) == {RUN.name, bad.name}
    assert "a container is left" not in render(found.newest)


def test_a_sitting_of_some_kinds_is_part_of_the_whole() -> None:
    """The runs of a kind are the same whichever others there are."""
    whole = {plan.name: plan for plan in plans(1, 300, list(KINDS))}
    some = plans(1, 5, ["kill engine", "reboot"])
    assert len(some) == 5
    assert all(whole[plan.name] == plan for plan in some)


def test_the_page_is_rendered_from_the_ledger() -> None:
    """docs/faults.md says what docs/faults.jsonl says."""
    assert (DOCS / "faults.md").read_text() == render(Ledger.open(DOCS / "faults.jsonl").newest)
