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


def detail(fact: Fact) -> str:
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
        case _:
            return ""


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
