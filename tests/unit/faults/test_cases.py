"""`make faults` as a whole: the simulation and the faults at each step are kept like strikes, and not run again where they were."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from embedded import engine
from tests.faults import __main__ as whole
from tests.faults import cases
from tests.faults.cases import PORTION, Cases, Done, file_of, told
from tests.faults.table import CASES

CODE = "c0de"
ALL = len(CASES)


@dataclass
class Paper:
    """What would be run, and comes out of it."""

    ledger: Path
    ran: list[str] = field(default_factory=list)
    violations: int = 0
    strikes: int = 0
    """The exit status of the strikes."""

    def simulate(self, first: int, count: int) -> Done:
        """Some schedules."""
        self.ran.append(f"schedules {first}+{count}")
        return Done(count, self.violations)

    def every_step(self) -> Done:
        """All of the table."""
        self.ran.append("each step")
        return Done(ALL, 0)

    def strike(self, arguments: Sequence[str]) -> int:
        """The rest."""
        self.ran.append(" ".join(arguments[:4]))
        return self.strikes

    def run(self, *arguments: str) -> int:
        """`make faults`."""
        self.ran.clear()
        return whole.main(["--ledger", str(self.ledger), "--schedules", str(2 * PORTION), *arguments])


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paper:
    """A checkout of one version."""
    made = Paper(tmp_path / "faults.jsonl")
    for name, value in (("simulate", made.simulate), ("every_step", made.every_step), ("strike", made.strike)):
        monkeypatch.setattr(whole, name, value)
    monkeypatch.setattr(whole, "code", lambda *_: CODE)
    monkeypatch.setattr(whole, "version", lambda: "abc")
    return made


def test_what_was_run_at_this_version_is_not_run_again(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The strikes know by themselves what is done; of another version everything is run."""
    assert paper.run() == 0
    everything = [f"schedules 0+{PORTION}", f"schedules {PORTION}+{PORTION}", "each step", "--seed 1 --strikes 300"]
    assert paper.ran == everything
    paper.run()
    assert paper.ran == ["--seed 1 --strikes 300"]
    monkeypatch.setattr(whole, "code", lambda *_: "0ther")
    paper.run()
    assert paper.ran == everything


def test_a_seed_chooses_the_schedules(paper: Paper) -> None:
    """Others for each; of the faults at each step none is by chance."""
    paper.run()
    paper.run("--seed", "2")
    assert paper.ran == [f"schedules {2 * PORTION}+{PORTION}", f"schedules {3 * PORTION}+{PORTION}", "--seed 2 --strikes 300"]


def test_what_failed_is_told_and_run_again(paper: Paper) -> None:
    """The rest is run all the same: what else is wrong shows, too."""
    paper.violations = 2
    assert paper.run() == 1
    assert paper.ran[-1].startswith("--seed")
    paper.violations = 0
    assert paper.run() == 0
    assert len(paper.ran) == 3


def test_strikes_that_found_something_are_the_answer(paper: Paper) -> None:
    """Whatever else was good."""
    paper.strikes = 1
    assert paper.run() == 1


def test_nothing_is_begun_on_what_is_not_committed(
    paper: Paper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even what takes its time before the strikes."""
    monkeypatch.setattr(whole, "is_dirty", lambda: True)
    with pytest.raises(SystemExit, match="2"):
        whole.main([])
    assert "commit it" in capsys.readouterr().err
    assert not paper.ran


@pytest.mark.parametrize(
    ("status", "said", "done"),
    [
        (0, [f"== {ALL} passed in 300.2s ==\n"], Done(ALL, 0)),
        (1, [f"== 2 failed, {ALL - 3} passed, 1 error in 9s ==\n"], Done(ALL, 3)),
        (1, [f"== {ALL} failed in 9s ==\n"], Done(ALL, ALL)),
    ],
)
def test_cases_of_each_step_are_counted(status: int, said: list[str], done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pytest tells them."""
    monkeypatch.setattr(engine, "ensure", lambda _: None)
    monkeypatch.setattr(cases, "_run", lambda *_: (status, said))
    assert cases.every_step() == done


@pytest.mark.parametrize(("status", "said"), [(2, ["== 3 passed in 9s ==\n"]), (1, []), (1, ["no such module\n"])])
def test_what_broke_off_is_not_kept(status: int, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what came of it."""
    monkeypatch.setattr(engine, "ensure", lambda _: None)
    monkeypatch.setattr(cases, "_run", lambda *_: (status, said))
    with pytest.raises(RuntimeError, match="broke off"):
        cases.every_step()
    with pytest.raises(RuntimeError, match="broke off"):
        cases.simulate(0, 10)


def simulated(first: int, failures: int = 0, code: str = CODE) -> Cases:
    """Some schedules."""
    return Cases("simulation", first, 100, failures, "abc", code, f"{code}-judged", 1.0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "not yet run"),
        ([simulated(0), simulated(100)], "200 schedules (0 to 199), 0 with a violation, at abc"),
        ([simulated(0, 3), simulated(0)], "100 schedules (0 to 99), 0 with a violation, at abc"),
        ([simulated(0, 3), simulated(100)], "200 schedules (0 to 199), 3 with a violation, at abc"),
        ([simulated(0, code="01d"), simulated(100)], "100 schedules (100 to 199), 0 with a violation, at abc"),
        ([simulated(0, code="01d")], "100 schedules (0 to 99), 0 with a violation, at abc, an older version"),
    ],
    ids=["nothing", "all together", "again", "what failed", "of the newest version alone", "older than the strikes"],
)
def test_the_page_tells_what_was_simulated(found: list[Cases], said: str) -> None:
    """Of each schedule the last time, at one version."""
    assert next(iter(told(found, CODE))) == f"- the simulation: {said}"


def test_the_page_tells_of_each_step(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the ledger of the strikes."""
    paper.run()
    assert list(told(Cases.read(file_of(paper.ledger)), CODE)) == [
        f"- the simulation: {2 * PORTION:,} schedules (0 to {2 * PORTION - 1:,}), 0 with a violation, at abc",
        f"- each fault at each step: {ALL} cases, 0 with another end than expected, at abc",
    ]
