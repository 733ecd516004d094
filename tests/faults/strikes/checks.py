"""What must be so after each run, whatever struck: nothing lost, nothing endless, nothing wrong."""

import json
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from dataclasses import dataclass, field

from cli.failures import Failed as Refused
from tests.faults.strikes import books, targets
from tests.faults.strikes.books import FINAL
from tests.faults.strikes.load import Failed, Load, Outage
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.stream import Lane, Sent

END_LIMIT_S = 150.0
"""From when all is ready again until every deployment has ended."""
SETTLE_LIMIT_S = 30.0


@dataclass
class Findings:
    """What is not as it must be, in sentences."""

    lost: list[str] = field(default_factory=list)
    endless: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """All is well."""
        return not (self.lost or self.endless or self.wrong)


def note_ends(found: books.Books, sent: Sequence[Sent]) -> None:
    """Notes of what was sent how far it is, and that it has ended where that is seen for the first time."""
    by_commit = {deployment.commit: deployment for deployment in found.deployments}
    ignored = {change.commit for change in found.changes if change.state == "ignored"}
    for one in sent:
        one.state = "ignored" if one.commit in ignored else one.state
        deployment = by_commit.get(one.commit)
        if deployment is not None:
            one.deployment, one.state = deployment.id, deployment.state
            if deployment.state in FINAL and one.ended_at is None:
                one.ended_at = time.monotonic()


def await_ends(machine: Machine, sent: Sequence[Sent], findings: Findings, *, retried: bool = False) -> None:
    """Waits for the end of every deployment, and notes when each was seen to have ended. Where what is stuck is `retried`, it is."""
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        found = books.read(machine)
        note_ends(found, sent)
        settled = {change.commit: change for change in found.changes if change.state != "pending"}
        waiting = [one for one in sent if one.ended_at is None and (one.commit not in settled or settled[one.commit].deployments)]
        others = [deployment for deployment in found.deployments if deployment.state not in FINAL]
        if not waiting and not others:
            return
        stuck = [deployment for deployment in others if deployment.state == "stuck"]
        if retried:
            _retry(machine, stuck)
        if time.monotonic() > deadline or (stuck and not retried):
            _unfinished(found, waiting, others, settled, findings)
            return
        time.sleep(0.25)


def _retry(machine: Machine, stuck: Sequence[books.Deployment]) -> None:
    with closing(machine.api()) as api:
        for deployment in stuck:
            with suppress(Refused):
                api.post(f"/deployments/{deployment.id}/retry")
                time.sleep(2.0)


def _unfinished(
    found: books.Books,
    waiting: Sequence[Sent],
    others: Sequence[books.Deployment],
    settled: dict[str, books.Change],
    findings: Findings,
) -> None:
    for deployment in others:
        sentence = f"{deployment.id} of {deployment.project} is {deployment.state}"
        (findings.wrong if deployment.state == "stuck" else findings.endless).append(sentence)
    for one in waiting:
        if not any(deployment.commit == one.commit for deployment in found.deployments):
            known = "settled without a deployment that exists" if one.commit in settled else "not settled"
            findings.lost.append(f"{one.commit[:8]} of {one.lane.place} ({one.what}): {known}")


def examine(machine: Machine, lanes: Sequence[Lane], sent: Sequence[Sent], may_end: frozenset[str], findings: Findings) -> None:
    """Everything but the failed requests."""
    _changes_and_ends(machine, sent, may_end, findings)
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while True:
        # What is tidied up after an end (networks, detached volumes) may take a moment more.
        wrong = [*targets.examine(machine, lanes), *(sentence for lane in lanes for sentence in unproven(lane))]
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    findings.wrong += wrong
    for lane in lanes:
        lane.answered, lane.kept = _answered(lane.load), len(lane.load.acknowledged)


def unproven(lane: Lane) -> Iterator[str]:
    """What nothing was seen of since it was last examined: without requests none can fail, and without rows none can be missing."""
    if _answered(lane.load) == lane.answered:
        yield f"{lane.place}: no request was answered"
    if lane.rows and len(lane.load.acknowledged) == lane.kept:
        yield f"{lane.place}: no row was acknowledged"


def _answered(load: Load) -> int:
    return load.requests - len(load.failed)


def _changes_and_ends(machine: Machine, sent: Sequence[Sent], may_end: frozenset[str], findings: Findings) -> None:
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while True:
        found = books.read(machine)
        changes = {change.commit: change for change in found.changes}
        pending = [one for one in sent if one.accepted_at and (one.commit not in changes or changes[one.commit].state == "pending")]
        shown = [one for one in found.deployments if found.shown.get(one.id) != one.state]
        undone = list(not_cancelled(sent, found.refused))
        if not (pending or shown or undone) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    findings.lost += [f"{one.commit[:8]} of {one.lane.place} was accepted, and its change is not settled" for one in pending]
    findings.wrong += [f"{one.id} is {one.state}, and the API shows {found.shown.get(one.id)}" for one in shown]
    findings.lost += undone
    findings.wrong += found.dead
    for one in sent:
        change = changes.get(one.commit)
        if change is not None and change.state == "ignored" and "superseded" not in one.ends:
            findings.lost.append(f"{one.commit[:8]} of {one.lane.place} ({one.what}) was ignored: {change.reason}")
        if one.state in FINAL and one.state not in one.ends | may_end:
            findings.wrong.append(f"{one.deployment} of {one.lane.place} ({one.what}) ended as {one.state}")
    twice = {one.commit for one in found.deployments if one.commit and sum(other.commit == one.commit for other in found.deployments) > 1}
    findings.wrong += [f"{commit[:8]} led to two deployments" for commit in twice]


def not_cancelled(sent: Sequence[Sent], refused: AbstractSet[str]) -> Iterator[str]:
    """Deployments whose cancel the platform took, and neither did nor refused."""
    for one in sent:
        if one.cancel and one.cancel not in refused and one.state in FINAL - {"cancelled"}:
            yield f"{one.deployment} of {one.lane.place} ended as {one.state}: its cancel was accepted, and neither done nor refused"


def requests(loads: Sequence[Load], since: Sequence[int], excused: Sequence[Outage]) -> list[str]:
    """Requests that failed in this run, but those that a blow itself cut off."""
    failed: list[Failed] = [one for load, before in zip(loads, since, strict=True) for one in load.failed[before:]]
    counted = [one for one in failed if not any(outage.excuses(one) for outage in excused)]
    return [f"{len(counted)} requests failed: {json.dumps([f'{one.host}{one.why}' for one in counted[:3]])}"] if counted else []
