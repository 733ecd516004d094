"""A deployment's events as a tree: each under what caused it. Pure.

A step is one row, from its start to its end; so is its undo. What has one consequence only is followed by it on the
same level; where several things followed, they are indented.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.events import Event
from shared.contracts.facts import Fact, UnknownFact
from shared.contracts.steps import title_of
from shared.phrases import gate_answer, gate_question

DONE, FAILED, RUNNING, UNDONE, PLAIN = "done", "failed", "running", "undone", "plain"


@dataclass
class Row:
    """One line of the tree. Times are seconds: `at` from the deployment's first event, `took` where it took time."""

    text: str
    at: float
    depth: int = 0
    state: str = PLAIN
    took: float | None = None
    step: str | None = None
    details: list[str] = field(default_factory=list)
    log_tail: tuple[str, ...] = ()
    events: list[str] = field(default_factory=list)


@dataclass
class _Node:
    key: str
    row: Row
    first: Event
    children: list["_Node"] = field(default_factory=list)


def rows(events: Sequence[Event]) -> list[Row]:
    """The tree, from the top."""
    ordered = sorted({event.id: event for event in events}.values(), key=_order)
    if not ordered:
        return []
    start = min(event.time for event in ordered)
    nodes: dict[str, _Node] = {}
    home: dict[str, _Node] = {}
    roots: list[_Node] = []
    wished: _Node | None = None
    """Where a person's decision belongs, whose cause is their wish: under what the deployment itself had come to."""
    for event in ordered:
        fact = _fact(event)
        key = _key(event, fact)
        node = nodes.get(key)
        if node is None:
            node = nodes[key] = _Node(key, Row(_words(event, key), _since(start, event.time), step=event.step), event)
            parent = home.get(event.cause or "") or wished
            (roots if parent is None else parent.children).append(node)
        home[event.id] = node
        if event.step is None or isinstance(fact, f.ApprovalRequested):
            wished = node
        _tell(node, event, fact)
    return list(_flat(roots, 0))


def _order(event: Event) -> tuple[bool, int, datetime]:
    """By sequence number; what has none (a refused wish) comes last."""
    return event.sequence is None, event.sequence or 0, event.time


def _flat(siblings: Sequence[_Node], depth: int) -> Iterator[Row]:
    """Siblings in order of time; an only child stays on its parent's level."""
    for node in siblings:
        node.row.depth = depth
        yield node.row
        yield from _flat(node.children, depth if len(node.children) == 1 and len(siblings) == 1 else depth + 1)


def _key(event: Event, fact: Fact | None) -> str:
    """What belongs in one row: the events of a step's doing, or of its undoing."""
    own = (e.CompensationStarted, e.DeploymentStuck, f.DeploymentDenied, f.DeploymentApproved)
    if event.step is None or isinstance(fact, own):
        return event.id
    undo = isinstance(fact, e.UndoStarted | e.CompensationFailed) or event.outcome in ("undoing", "undone", "undo_failed")
    return f"{event.step}/{'undo' if undo else 'do'}"


def _tell(node: _Node, event: Event, fact: Fact | None) -> None:
    row = node.row
    row.events.append(event.name)
    undoing = node.key.endswith("/undo")
    match fact:
        case e.StepStarted() | e.UndoStarted():
            row.state = RUNNING
        case e.GateRequested():
            row.state = RUNNING
            row.details.append(gate_question(fact))
        case e.GateFailed():
            row.state, row.took = FAILED, _took(node, event)
            row.details.append(gate_answer(fact))
        case e.StepRetried():
            row.details.append(f"attempt {fact.attempt}: {fact.reason}")
        case e.StepFailed():
            row.state, row.took = FAILED, _took(node, event)
            _explain(row, fact.failure)
        case e.CompensationFailed() | e.DeploymentStuck():
            row.state = FAILED
            _explain(row, fact.failure)
        case _ if event.step is not None and node.key != event.id:
            row.state = FAILED if (event.outcome or "").endswith("failed") else UNDONE if undoing else DONE
            row.took = _took(node, event)
            row.details.extend(_details(fact))
        case _:
            row.state = _end_state(fact)
            row.details.extend(_details(fact))


def _explain(row: Row, failure: Failure) -> None:
    row.details.extend(line for line in failure.message.splitlines() if line.strip())
    row.log_tail = failure.log_tail


def _end_state(fact: Fact | None) -> str:
    match fact:
        case e.DeploymentSucceeded():
            return DONE
        case e.DeploymentFailed() | f.DeploymentDenied() | e.CompensationStarted():
            return FAILED
        case e.DeploymentRolledBack() | e.DeploymentCancelled():
            return UNDONE
        case _:
            return PLAIN


def _details(fact: Fact | None) -> Iterator[str]:  # noqa: C901, PLR0912 -- a table in the form of a match
    """What a person wants to know of a fact."""
    match fact:
        case e.DeploymentCreated():
            ref = (fact.ref or "").removeprefix("refs/heads/")
            yield " ".join(part for part in ((fact.commit or "")[:8], f"of {ref}" if ref else "", fact.title) if part)
        case f.DeploymentAuthorized(rule=rule) | f.DeploymentDenied(rule=rule):
            yield f"by the rule: {rule}"
        case f.ApprovalRequested():
            yield f"waits for approval: {fact.reason or fact.rule}"
        case f.DeploymentApproved():
            yield f"by {fact.by}" + (f": {fact.reason}" if fact.reason else "")
        case e.DeploymentQueued(behind=behind) if behind:
            yield f"behind {behind}"
        case e.BuildPlanned():
            yield from (f"{service}: unchanged, nothing to build" for service in fact.unchanged)
        case e.DeploymentPlanned():
            yield from fact.notes
        case f.ImageBuilt(reused=True):
            yield "unchanged: nothing built"
        case e.GatePassed():
            yield gate_answer(fact)
        case e.CompensationStarted():
            yield fact.reason
        case e.DeploymentSucceeded():
            yield from () if fact.changed else ("nothing to do: all of it runs already",)
            yield from fact.urls
            yield from fact.alerts
        case e.DeploymentRolledBack():
            yield "the environment runs what it ran before"
            yield from fact.kept
        case e.DeploymentFailed():
            yield fact.reason
        case e.DeploymentCancelled():
            yield f"by {fact.by}"
            yield from fact.kept
        case e.DeploymentSuperseded() if fact.reason or fact.by:
            yield fact.reason or f"by {fact.by}"
        case e.DeploymentUnstuck():
            yield f"{fact.by} chose to {fact.action}" if fact.by else "the undo has worked after all"
        case f.JobUndone(ran_undo=False):
            yield "rows that it wrote stay"


def _words(event: Event, key: str) -> str:
    """A step by its title; else `DeploymentQueued` → `deployment queued`."""
    if event.step is not None and key != event.id:
        return f"undo: {title_of(event.step)}" if key.endswith("/undo") else title_of(event.step)
    return " ".join(re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", event.name)).lower()


def _fact(event: Event) -> Fact | None:
    try:
        return event.fact()
    except (UnknownFact, ValueError):
        return None  # a newer writer's: it is shown by its name


def _took(node: _Node, event: Event) -> float | None:
    """How long the worker was at it, by its own clock; else since its first event."""
    if event.seconds is not None:
        return event.seconds
    return None if event.id == node.first.id else _since(node.first.time, event.time)


def _since(start: datetime, moment: datetime) -> float:
    return max(0.0, (moment - start).total_seconds())
