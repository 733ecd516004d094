"""The steps of the deploy stage and what each depends on: DESIGN's table, for the services that change."""

from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter

from services.coordinator.saga import Plan, Step
from shared.contracts.gates import Before, Gate, step_of
from shared.contracts.steps import GATE


def deploy_steps(plan: Plan, gates: Sequence[Gate] = ()) -> tuple[Step, ...]:
    """Databases, jobs, candidates side by side, but each after those that it depends on; nothing switches until every
    candidate is healthy and every gate there has let it; then one after the other.

    Raises `CycleError` for jobs or services that wait for each other: the deployment would hold its environment for ever.
    The builder refuses such a manifest, and is not believed.
    """
    steps: list[Step] = []
    databases = _databases(plan, steps)
    changed = [name for name in plan.releases if name not in plan.unchanged]
    jobs = _jobs(plan, steps, databases)
    images = _images(plan, steps, changed)
    ready = [_candidate(plan, steps, name, [*databases, *jobs, *_healthy(plan, name, changed)], images) for name in changed]
    if changed:
        asked = gates_before(gates, Before.SWITCH, ready)
        steps += asked
        ready += [step.name for step in asked]
    endpoints = _switches(plan, steps, changed, ready)
    _retirements(plan, steps, changed, endpoints, databases)
    TopologicalSorter({step.name: step.depends_on for step in steps}).prepare()
    return tuple(steps)


def gates_before(gates: Iterable[Gate], before: Before, depends_on: Sequence[str]) -> list[Step]:
    """The gates that stand before a stage: all are asked at once, when what they depend on is done."""
    return [Step(step_of(gate.name), GATE.name, gate.name, tuple(depends_on), gate=gate) for gate in gates if gate.before is before]


def _add(steps: list[Step], kind: str, item: str, depends_on: list[str]) -> str:
    name = f"{kind}-{item}"
    steps.append(Step(name, kind, item, tuple(depends_on)))
    return name


def _databases(plan: Plan, steps: list[Step]) -> list[str]:
    """Every database is checked in each deployment: one that was deleted by hand is found before anything is switched."""
    checked = []
    for name in plan.databases:
        provisioned = _add(steps, "provision-database", name, [])
        connected = _add(steps, "connect-database", name, [provisioned])
        checked.append(_add(steps, "check-database", name, [connected]))
    return checked


def _jobs(plan: Plan, steps: list[Step], databases: list[str]) -> list[str]:
    return [
        _add(steps, "run-job", name, [*databases, *(f"run-job-{other}" for other in job.depends_on)]) for name, job in plan.jobs.items()
    ]


def _images(plan: Plan, steps: list[Step], changed: list[str]) -> dict[str, str]:
    """Images of former deployments have to be there still; new ones were pushed before the lock."""
    return {name: _add(steps, "push", name, []) for name in changed if name in plan.reused}


def _healthy(plan: Plan, name: str, changed: Sequence[str]) -> list[str]:
    """The checks of the candidates that a service waits for; what keeps its release runs already."""
    return [f"check-container-{other}" for other in plan.releases[name].depends_on if other in changed]


def _candidate(plan: Plan, steps: list[Step], name: str, before: list[str], images: dict[str, str]) -> str:
    """One service's candidate; answers the step after which it is ready."""
    release = plan.releases[name]
    deployed = _add(steps, "deploy-container", name, [*before, *([images[name]] if name in images else [])])
    connected = _add(steps, "connect-container", name, [deployed])
    if not release.hosts:
        return _add(steps, "check-container", name, [connected])
    exposed = _add(steps, "expose", name, [connected])
    assigned = _add(steps, "assign-domain", name, [])
    certified = _add(steps, "issue-certificate", name, [assigned])
    return _add(steps, "check-container", name, [exposed, certified])


def _switches(plan: Plan, steps: list[Step], changed: list[str], ready: list[str]) -> list[str]:
    last: list[str] = []
    for name in changed:
        last = [_add(steps, "switch", name, [*ready, *last])]
    return [_add(steps, "check-endpoint", name, last) for name in changed if plan.releases[name].hosts] or last


def _retirements(plan: Plan, steps: list[Step], changed: list[str], endpoints: list[str], databases: list[str]) -> None:
    """After the pivot: what the deployment leaves behind goes away."""
    before = endpoints or databases
    retired = [_add(steps, "retire", name, before) for name in changed]
    removed = [_add(steps, "remove-service", name, before) for name in plan.former if name not in plan.releases]
    for name in plan.former_databases:
        if name not in plan.databases:
            _add(steps, "remove-database", name, [*before, *retired, *removed])
