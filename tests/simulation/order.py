"""The order of the deploy stage, written down once more: DESIGN's table, from what the deployment shall change. The plan under test is
not asked."""

from collections.abc import Iterable, Mapping

from tests.simulation.goals import Goal


def order(goal: Goal) -> Mapping[str, tuple[str, ...]]:
    """Every step that the deployment has to do with the lock → those that have to be done before it."""
    steps: dict[str, tuple[str, ...]] = {}
    for name in goal.databases:
        steps[f"provision-database-{name}"] = ()
        steps[f"connect-database-{name}"] = (f"provision-database-{name}",)
        steps[f"check-database-{name}"] = (f"connect-database-{name}",)
    stored = _all("check-database", goal.databases)
    for name, job in goal.jobs.items():
        steps[f"run-job-{name}"] = (*stored, *_all("run-job", job.depends_on))
    for name in goal.changed:
        steps |= _candidate(name, (*stored, *_all("run-job", goal.jobs)), answers=bool(goal.releases[name].hosts))
    switched = _all("switch", goal.changed)
    steps |= dict.fromkeys(switched, _all("check-container", goal.changed))
    seen = _all("check-endpoint", (name for name in goal.changed if goal.releases[name].hosts))
    steps |= dict.fromkeys(seen, switched)
    retired = _all("retire", goal.changed) + _all("remove-service", goal.former.releases.keys() - goal.releases.keys())
    steps |= dict.fromkeys(retired, (*switched, *seen, *stored))
    removed = _all("remove-database", goal.former.databases.keys() - goal.databases.keys())
    return steps | dict.fromkeys(removed, (*switched, *seen, *stored, *retired))


def _candidate(name: str, before: tuple[str, ...], *, answers: bool) -> dict[str, tuple[str, ...]]:
    steps = {f"deploy-container-{name}": (f"push-{name}", *before), f"connect-container-{name}": (f"deploy-container-{name}",)}
    if not answers:
        return steps | {f"check-container-{name}": (f"connect-container-{name}",)}
    return steps | {
        f"expose-{name}": (f"connect-container-{name}",),
        f"assign-domain-{name}": (),
        f"issue-certificate-{name}": (f"assign-domain-{name}",),
        f"check-container-{name}": (f"expose-{name}", f"issue-certificate-{name}"),
    }


def depending(steps: Mapping[str, tuple[str, ...]], name: str) -> set[str]:
    """All that may start only after a step, directly or not."""
    found: set[str] = set()
    more = {name}
    while more := {other for other, before in steps.items() if more.intersection(before)} - found:
        found |= more
    return found


def _all(kind: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{kind}-{name}" for name in names)
