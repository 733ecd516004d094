"""Facts in a few words, for `shared.narration`."""

from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.facts import Fact
from shared.printable import printable


def what(fact: e.DeploymentCreated) -> str:
    """What is deployed: commit, branch and title."""
    commit = (fact.commit or "")[:8]
    branch = (fact.ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")
    words = [commit, f"of {branch}" if branch and commit else branch, f"“{fact.title}”" if fact.title else ""]
    return printable(" ".join(word for word in words if word))


def detail(fact: Fact) -> str:  # noqa: PLR0911 -- a table in the form of a match
    """What is worth knowing of a step that was done, beside its title; empty where nothing is."""
    match fact:
        case f.ImageBuilt(reused=True):
            return "unchanged, reused"
        case f.ImageBuilt(size_bytes=size) if size:
            return f"{size / 1e6:.0f} MB"
        case f.DatabaseProvisioned(version=version, made=made):
            return f"PostgreSQL {version}, {'new' if made else 'as it was'}"
        case f.DeploymentAuthorized(rule=rule):
            return rule
        case f.ContainerDeployed(already_running=True):
            return "runs already"
        case e.GatePassed():
            return gate_answer(fact)
        case _:
            return ""


def gate_question(fact: e.GateRequested) -> str:
    """How long an answer is waited for, and what counts without one."""
    otherwise = "passes" if fact.default == "pass" else "fails"
    return f"asked before the {fact.before}; it {otherwise} where nobody answers until {fact.deadline:%H:%M:%S} UTC"


def gate_answer(fact: e.GatePassed | e.GateFailed) -> str:
    """Who answered, where it was not the gate's own tool, and why."""
    reason = fact.reason if isinstance(fact, e.GatePassed) else fact.failure.message
    by = "" if fact.defaulted or fact.by == f"gate {fact.gate}" else f"by {fact.by}"
    return printable(": ".join(part for part in (by, reason) if part))


def undone(title: str, fact: Fact) -> str:
    """What the undo of a step has left."""
    match fact:
        case f.DatabaseRestored(detached_volume=volume) if volume:
            return f"{title}: removed, its volume {volume} is kept"
        case f.JobUndone(ran_undo=False):
            return f"{title}: its container is gone; rows that it wrote stay"
        case f.JobUndone():
            return f"{title}: its own undo has run"
        case f.TrafficRestored():
            return f"{title}: the former release takes the traffic again"
        case f.NothingToUndo():
            return f"{title}: nothing to undo"
        case _:
            return title
