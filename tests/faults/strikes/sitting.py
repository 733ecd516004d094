"""One sitting: a platform that was started for it, its environments under load, and one run after the other."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.strikes.applications import Flaw
from tests.faults.strikes.checks import Findings, await_ends, examine, requests
from tests.faults.strikes.ends import Ends
from tests.faults.strikes.forge import PUSHER, serve
from tests.faults.strikes.kinds import KINDS
from tests.faults.strikes.kinds.strike import DidNotStrike, Scene, Strike
from tests.faults.strikes.ledger import Blow, Run
from tests.faults.strikes.load import Outage
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.moments import Moment, Watch, moment_of
from tests.faults.strikes.outages import Outages
from tests.faults.strikes.stream import Lane, Sent, Stream, lane, settling
from tests.faults.strikes.versions import code, stack, version
from tests.polling import until

IN_TIME_S = 30.0
"""A deployment that one kill struck ends within this time, and its usual time, after the killed process is back."""
_LANES = (("plain-pushed", False, False), ("plain-forge", False, True), ("rows-pushed", True, False), ("rows-forge", True, True))
_SENT_LIMIT_S = 60.0
_STREAMS = 4
"""So many are begun for a boundary: what chance makes fail or cancels comes to few of them."""


@dataclass(frozen=True)
class Plan:
    """One run, all of whose details come of seed, kind and turn."""

    seed: int
    kind: str
    turn: int
    """Counts up within the kind."""
    moments: tuple[Moment, ...]

    @property
    def strike(self) -> Strike:
        """Its kind."""
        return KINDS[self.kind]

    @property
    def name(self) -> tuple[int, str, int]:
        """As in the ledger."""
        return self.seed, self.kind, self.turn


def plans(seed: int, strikes: int, kinds: Sequence[str]) -> list[Plan]:
    """Runs of as many strikes in all: each kind in its turn; of each round those with equal settings beside each other."""
    made: list[Plan] = []
    places = {name: place for place, name in enumerate(KINDS)}
    while sum(len(plan.moments) for plan in made) < strikes:
        turn, place = divmod(len(made), len(kinds))
        kind = KINDS[kinds[place]]
        first, count = (turn + 1) // 2 + turn // 2 * kind.most, kind.most if turn % 2 else 1
        numbers = range(first, first + count)
        made.append(Plan(seed, kind.name, turn, tuple(moment_of(seed, places[kind.name], number, kind.steps) for number in numbers)))
    return sorted(made, key=lambda plan: (plan.turn, sorted(plan.strike.rig.items()), plan.strike.replicas))


@dataclass
class Sitting:
    """The platform and all around it."""

    seed: int
    machine: Machine = field(default_factory=Machine)
    lanes: list[Lane] = field(default_factory=list)
    usual: dict[str, float] = field(default_factory=dict)
    """How long each sort of deployment takes when nothing disturbs it, in seconds."""
    code: str = field(default_factory=code)
    """That of the platform when it was started."""

    def begin(self) -> None:
        """A platform that runs, a good release in every environment, load on it, and what is to be struck once without a strike."""
        machine = self.machine
        (machine.folder / "forge" / "faults").mkdir(parents=True)
        machine.outside.add(serve(machine.folder / "forge").pid)
        machine.up()
        bases = machine.bases()
        self.lanes = [lane(machine, bases, name, rows=rows, forge=forge) for name, rows, forge in _LANES]
        machine.know_forge_account(PUSHER)
        self.watch = Watch(machine)
        machine.background.spawn(self.watch.run())
        self._first_releases()
        for one in self.lanes:
            machine.background.spawn(one.load.run())
        for begin in (Stream.start, _each_flaw):
            self.undisturbed(self._stream(random.Random(self.seed)), begin)

    def _first_releases(self) -> None:
        first = Stream(self.lanes, random.Random(self.seed))
        for one in self.lanes:
            first.send(one, random.Random(one.place.project), "good", Flaw.NONE)
        first.wait()
        findings = Findings()
        await_ends(self.machine, first.sent, findings)
        assert findings.nothing, f"the first releases: {findings}"
        ends = {one.lane.place.project: one.state for one in first.sent}
        assert set(ends.values()) == {"succeeded"}, f"the first releases: {ends}"

    def undisturbed(self, stream: Stream, begin: Callable[[Stream], None]) -> None:
        """Deployments that no strike disturbs: how long each sort of them takes is seen as it is in a run."""
        findings, failed_before = Findings(), self._failed()
        with Ends(self.machine, [stream]):
            begin(stream)
            stream.wait()
        self._after([stream], findings, frozenset(), (), failed_before)
        assert findings.nothing, f"without any strike: {findings}"
        for one in stream.sent:
            if one.ended_at and one.accepted_at:
                self.usual.setdefault(one.what, one.ended_at - one.accepted_at)

    def _failed(self) -> list[int]:
        return [len(one.load.failed) for one in self.lanes]

    def _stream(self, chance: random.Random) -> Stream:
        return Stream(self.lanes, chance)

    def run(self, plan: Plan) -> Run:
        """One run: the stream begins, the strikes fall, all is set right, everything ends, and is looked at."""
        began, findings, strike = time.monotonic(), Findings(), plan.strike
        chance = random.Random(f"{plan.seed}/{plan.kind}/{plan.turn}/run")
        scene = Scene(self.machine, self.watch, chance, plan.turn)
        before = [one.load.requests for one in self.lanes], self._failed()
        ends, back_at, serving = Ends(self.machine), began, (0, 0)
        blows: list[Blow] = []
        outages: list[Outages] = []
        try:
            self.machine.become(strike.rig, replicas=strike.replicas)
            self.machine.heal()
            serving = self.machine.door()
            with ends:
                for moment in plan.moments:
                    came, at_work = self._reach(moment, ends, chance)
                    if strike.cuts_off:
                        outages.append(Outages(self.machine, self.lanes, strike.kills_applications))
                    blows.append(Blow(str(moment), came, at_work, _hit(strike, scene)))
                    back_at = self.machine.heal(strike.killed(blows[-1].hit))
                for stream in ends.streams:
                    stream.wait()
            self.machine.heal()
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is a finding of this run
            findings.wrong.append(f"the platform did not come back: {error!r}")
        else:
            excused = [outage for each in outages for outage in each.close()]
            self._after(ends.streams, findings, strike.may_end, excused, before[1], retried=strike.retried)
        broken = [f"git push broke off: {one.broken_off}" for one in ends.sent if one.broken_off]
        # Where a process on its way died, a push is cut off; where none did, it must not be.
        (findings.wrong if self.machine.door() == serving else findings.notes).extend(broken)
        late = self._late(ends.sent, back_at) if strike.kills and len(plan.moments) == 1 else None
        if late is not None and late > IN_TIME_S:
            findings.wrong.append(f"a deployment ended {late:.0f} s later than usual after the process's return")
        return Run(
            *plan.name,
            tuple(map(str, plan.moments)),
            len(ends.sent),
            sum(one.load.requests for one in self.lanes) - sum(before[0]),
            late,
            tuple(findings.lost),
            tuple(findings.endless),
            tuple(findings.wrong),
            tuple(findings.notes),
            version(),
            stack(),
            round(time.monotonic() - began, 1),
            time.time(),
            tuple(blows),
            self.code if code() == self.code else "",
        )

    def _reach(self, moment: Moment, ends: Ends, chance: random.Random) -> tuple[bool, tuple[str, ...]]:
        """Waits for a moment, with another stream where all has ended: whether it came, and what is at work at it."""
        for _ in range(_STREAMS):
            if ends.over:
                ends.streams.append(self._stream(chance))
                ends.streams[-1].start()
                until(lambda: ends.at_work or ends.over, within=_SENT_LIMIT_S, what="something is sent")
            came = self.watch.wait(moment, lambda: ends.over)
            if came and (at_work := ends.at_work):
                return True, at_work
        return False, ends.at_work

    def _after(
        self,
        streams: Sequence[Stream],
        findings: Findings,
        may_end: frozenset[str],
        excused: Sequence[Outage],
        failed_before: Sequence[int],
        *,
        retried: bool = False,
    ) -> None:
        """All checks of one run."""
        sent = settling([one for stream in streams for one in stream.sent])
        await_ends(self.machine, sent, findings, retried=retried)
        if not (findings.endless or findings.lost):
            examine(self.machine, self.lanes, sent, may_end, findings)
        findings.lost += [problem for stream in streams for problem in stream.problems]
        findings.wrong += requests([one.load for one in self.lanes], failed_before, excused)

    def _late(self, sent: Sequence[Sent], back_at: float) -> float | None:
        usual = {one.what: self.usual.get(one.what, self.usual["good"]) for one in sent}  # superseded ones may have had no deployment
        ends = [one.ended_at - max(back_at, one.accepted_at or 0) - usual[one.what] for one in sent if one.ended_at]
        return round(max(ends), 1) if ends else None

    def keep_evidence(self, folder: Path) -> None:
        """Logs, records and routes of a platform that was found wrong, and what its engine has seen."""
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("logs", "target", "traefik/dynamic"):
            shutil.copytree(self.machine.home.path / part, folder / part)
        shutil.copy(self.machine.settings.engine.data_root / "dockerd.log", folder / "logs")
        with suppress(subprocess.CalledProcessError):  # where it does not answer, its log says why
            events = self.machine.docker("events", "--since", "0", "--until", str(int(time.time())), "--format", "{{json .}}")
            (folder / "logs" / "events.json").write_text(events, encoding="utf-8")


def _hit(strike: Strike, scene: Scene) -> str:
    """Strikes; what was hit."""
    try:
        return strike.blow(scene) or strike.name
    except DidNotStrike:
        return ""


def _each_flaw(stream: Stream) -> None:
    """Of the failing deployments of a run chance chooses one: here is each of them."""
    for one, flaw in zip(stream.lanes, Flaw, strict=True):
        stream.send(one, stream.chance, str(flaw), flaw)
