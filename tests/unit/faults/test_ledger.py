"""The ledger of strikes: sittings add up, and its page is what it says."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.cases import Cases
from tests.faults.strikes import __main__
from tests.faults.strikes.__main__ import main
from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.ledger import Blow, Ledger, Run, table
from tests.faults.strikes.moments import BOUNDARIES
from tests.faults.strikes.report import render
from tests.faults.strikes.sitting import plans

DOCS = Path(__file__).parents[3] / "docs"
BLOW = Blow("after 1.0 s", came=True, at_work=("good: running",), hit="kill NATS")
RUN = Run(
    seed=1,
    kind="kill NATS",
    turn=0,
    moments=("after 1.0 s",),
    deployments=5,
    requests=100,
    at=10.0,
    version="abc",
    blows=(BLOW,),
    code="c0de",
)


def test_sittings_add_up(tmp_path: Path) -> None:
    """What was good is done; what was found wrong is done again in the next sitting, and stays listed until then."""
    path = tmp_path / "faults.jsonl"
    bad = replace(RUN, turn=1, wrong=("a container is left",))
    for run in (RUN, bad):
        Ledger.open(path).add(run)
    found = Ledger.open(path)
    assert found.runs == [RUN, bad]
    assert found.done(20.0, "c0de") == {RUN.name}
    assert found.done(10.0, "c0de") == {RUN.name, bad.name}
    assert "kill NATS, turn 1 of seed 1, at abc: a container is left" in render(found.runs)
    found.add(replace(bad, wrong=(), at=30.0))
    assert found.done(40.0, "c0de") == {RUN.name, bad.name}
    assert "a container is left" not in render(found.runs)


VAIN = replace(BLOW, came=False)


@pytest.mark.parametrize(
    "run", [replace(RUN, code="01d"), replace(RUN, code=""), replace(RUN, blows=(VAIN,)), replace(RUN, blows=())], ids=str
)
def test_what_did_not_strike_this_code_is_struck_again(run: Run, tmp_path: Path) -> None:
    """Whether the platform was another one, nothing was at work, or nobody knows."""
    assert Ledger(tmp_path, [run]).done(20.0, "c0de") == frozenset()
    assert Ledger(tmp_path, [run]).done(20.0, "") == frozenset()


def test_the_table_tells_strikes_at_this_code_from_history() -> None:
    """All are counted that there ever were; what came of them is said of this code alone, and of real strikes."""
    old = replace(RUN, code="01d", wrong=("a container is left",), late_s=40.0)
    vain = replace(RUN, turn=1, moments=("after 1.0 s", "after 2.0 s"), blows=(VAIN, VAIN), late_s=20.0)
    _, row, total = table([old, RUN, vain, replace(RUN, turn=2, late_s=-1.5)], ["kill NATS", "kill auth"], "c0de")
    assert row == ("kill NATS", "5", "4", "2", "0", "15", "0", "0", "0", "-1.5 s")
    assert total[1:] == row[1:]


def test_what_is_not_committed_is_not_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger of the repository takes no run of a version that nobody can have."""
    monkeypatch.setattr(__main__, "is_dirty", lambda: True)
    with pytest.raises(SystemExit, match="2"):
        main(["--kinds", "kill auth"])
    assert "commit it" in capsys.readouterr().err


def test_a_sitting_of_some_kinds_is_part_of_the_whole() -> None:
    """The runs of a kind are the same whichever others there are."""
    whole = {plan.name: plan for plan in plans(1, 300, list(KINDS))}
    some = plans(1, 5, ["kill engine", "reboot"])
    assert len(some) == 5
    assert all(whole[plan.name] == plan for plan in some)


@pytest.mark.parametrize("seed", [1, 2, 51])
def test_kills_come_to_every_boundary(seed: int) -> None:
    """Within as many strikes as are asked for, whatever the seed; half of the strikes fall at one."""
    made = plans(seed, 300, list(KINDS))
    met = {moment for plan in made if plan.strike.kills for moment in plan.moments}
    assert met >= set(BOUNDARIES)
    moments = [moment for plan in made if not plan.strike.steps for moment in plan.moments]
    assert sum(moment.step is not None for moment in moments) / len(moments) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", ["kill NATS", "kill Traefik", "NATS away"])
def test_a_kind_comes_to_no_boundary_twice_before_it_was_at_all(name: str) -> None:
    """However many of its strikes fall in one run."""
    met = [str(moment) for plan in plans(1, 128, [name]) for moment in plan.moments if moment.step is not None]
    assert len(set(met[:32])) == 32
    assert met[32:] == met[: len(met) - 32]


def test_a_kind_of_some_steps_comes_to_all_their_boundaries() -> None:
    """Elsewhere there is nothing for it."""
    met = {moment for plan in plans(1, 4, ["kill build"]) for moment in plan.moments}
    assert met == {moment for moment in BOUNDARIES if moment.step in KINDS["kill build"].steps}


def test_the_page_tells_what_is_of_an_older_version() -> None:
    """What was found there says nothing of the newest."""
    page = render([replace(RUN, code="01d", version="0ld", wrong=("a container is left",)), replace(RUN, turn=1, wrong=("no row",))])
    assert "kill NATS, turn 0 of seed 1, at 0ld, an older version: a container is left" in page
    assert "kill NATS, turn 1 of seed 1, at abc: no row" in page


def test_the_page_tells_where_deployments_may_end_otherwise() -> None:
    """And where a person is played."""
    page = render([RUN])
    assert "  - full disk of builds: failed\n" in page
    assert "  - deployer away for long: failed, rolled_back; what is stuck is retried, as its alert asks a person to\n" in page
    assert "  - kill NATS" not in page


def test_the_page_tells_which_boundaries_kills_came_to() -> None:
    """Of strikes that were ones, at the newest version."""
    at, vain = replace(BLOW, moment="command of switch"), replace(VAIN, moment="answer of switch")
    page = render([replace(RUN, moments=(at.moment, vain.moment), blows=(at, vain)), replace(RUN, kind="NATS away", blows=(BLOW, at))])
    assert "boundaries that a kill met: 1 of 32; not: command of authorise, answer of authorise" in page
    assert "boundaries met: 1 of 32; not: " in page
    assert "| kill NATS | 2 | 2 | 1 | 1 |" in page


def test_the_page_is_rendered_from_the_ledger() -> None:
    """docs/faults.md says what docs/faults.jsonl says."""
    assert (DOCS / "faults.md").read_text() == render(Ledger.open(DOCS / "faults.jsonl").runs, Cases.read(DOCS / "faults.cases.jsonl"))
