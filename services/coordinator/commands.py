"""From a step and the plan to the command that a participant gets. An undo is the same command with the former record."""

from collections.abc import Callable
from datetime import datetime

from services.coordinator.saga import Saga, Step
from shared.contracts import commands as c
from shared.contracts.answers import Answer
from shared.contracts.commands import Command, Direction
from shared.contracts.releases import Release, Sealed


def command(saga: Saga, step: Step, direction: Direction, now: datetime) -> Command:
    """The command of the step's awaited attempt. Deterministic: its id is its place in the saga."""
    attempt = step.undo_attempt if direction is Direction.UNDO else step.attempt
    row = step.row
    model, fields = _FIELDS[step.kind](saga, step)
    return model.model_validate(
        {
            "id": f"{saga.id}-{step.name}.{direction}.{attempt}",
            "time": now,
            "cause": step.cause,
            "deployment": saga.id,
            "step": step.name,
            "place": saga.origin.place,
            "target": saga.origin.target,
            "direction": direction,
            "attempt": attempt,
            "epoch": epoch_of(saga, step),
            "timeout_s": _timeout(saga, step, row.timeout_s),
            **fields,
        }
    )


def epoch_of(saga: Saga, step: Step) -> int | None:
    """The epoch that the step's commands carry: none before the lock."""
    return saga.epoch if step.row.participant == "deployer" else None


def is_of_its_participant(saga: Saga, step: Step, answer: Answer) -> bool:
    """The answer comes from who was asked: no target speaks for another, and no participant."""
    row = step.row
    return answer.participant == row.participant and (row.participant == "auth" or answer.target == saga.origin.target)


def _timeout(saga: Saga, step: Step, usual: float) -> float:
    """What the plan allows its jobs and containers comes on top: a release may take an hour to get ready, and another to end."""
    plan = saga.plan
    if plan is None or step.item is None:
        return usual
    if step.kind == "run-job":
        return plan.jobs[step.item].timeout_s + 30
    if step.kind == "check-container" and plan.releases[step.item].health is not None:
        return _until_ready(plan.releases[step.item]) + 30
    both = [release for release in (plan.releases.get(step.item), plan.former.get(step.item)) if release is not None]
    if step.kind in {"switch", "retire", "remove-service"}:
        usual += sum(release.stop_grace_s for release in both)
    if step.kind == "switch":
        usual += sum(_until_ready(release) for release in both)
    return usual


def _until_ready(release: Release) -> float:
    health = release.health
    return 0.0 if health is None else health.start_period_s + health.retries * (health.interval_s + health.timeout_s)


Fields = tuple[type[Command], dict[str, object]]


def _authorise(saga: Saga, _step: Step) -> Fields:
    origin = saga.origin
    source = origin.source
    return c.AuthorizeDeployment, {
        "kind": origin.environment_kind,
        "pusher": origin.pusher,
        "subject": origin.subject,
        "ref": source.ref if source else "",
        "commit": source.commit if source else "",
        "needs_approval": origin.needs_approval,
        "fork": origin.fork,
    }


def _inspect(saga: Saga, _step: Step) -> Fields:
    return c.InspectSource, {"source": saga.cloned_from, "newest": saga.newest}


def _build(saga: Saga, step: Step) -> Fields:
    built = saga.builds[str(step.item)]
    return c.BuildImage, {
        "source": saga.cloned_from,
        "service": step.item,
        "build": built.build,
        "key": built.key,
        "fresh": saga.origin.rebuild,
        "secrets": built.secrets,
        "fork": saga.origin.fork,
    }


def _push(saga: Saga, step: Step) -> Fields:
    service = str(step.item)
    if service in saga.builds:
        built = saga.builds[service]
        return c.PushImage, {"service": service, "image": saga.images.get(service) or built.image, "key": built.key}
    assert saga.plan is not None
    release = saga.plan.releases[service]
    return c.PushImage, {"service": service, "image": release.container.image, "key": release.container.image.rsplit(":", 1)[-1][:40]}


def _database(model: type[Command], *, with_former: bool) -> Callable[[Saga, Step], Fields]:
    def fields(saga: Saga, step: Step) -> Fields:
        assert saga.plan is not None
        name = str(step.item)
        former = {"former": saga.plan.former_databases.get(name)} if with_former else {}
        return model, {"database": saga.plan.databases[name], **former}

    return fields


def _job(saga: Saga, step: Step) -> Fields:
    assert saga.plan is not None
    name = str(step.item)
    return c.RunJob, {"job": saga.plan.jobs[name], "secrets": saga.plan.secrets.get(name, Sealed())}


def _service(model: type[Command]) -> Callable[[Saga, Step], Fields]:
    def fields(saga: Saga, step: Step) -> Fields:
        plan = saga.plan
        assert plan is not None
        name = str(step.item)
        return model, {
            "release": plan.releases[name],
            "secrets": plan.secrets.get(name, Sealed()),
            "former": plan.former.get(name),
            "former_secrets": plan.former_secrets.get(name, Sealed()),
        }

    return fields


def _remove_service(saga: Saga, step: Step) -> Fields:
    assert saga.plan is not None
    return c.RemoveService, {"former": saga.plan.former[str(step.item)]}


def _remove_database(saga: Saga, step: Step) -> Fields:
    assert saga.plan is not None
    return c.RemoveDatabase, {"former": saga.plan.former_databases[str(step.item)]}


_FIELDS: dict[str, Callable[[Saga, Step], Fields]] = {
    "authorise": _authorise,
    "inspect": _inspect,
    "build": _build,
    "push": _push,
    "provision-database": _database(c.ProvisionDatabase, with_former=True),
    "connect-database": _database(c.ConnectDatabase, with_former=True),
    "check-database": _database(c.CheckDatabase, with_former=False),
    "run-job": _job,
    "deploy-container": _service(c.DeployContainer),
    "connect-container": _service(c.ConnectContainer),
    "expose": _service(c.ExposeCandidate),
    "assign-domain": _service(c.AssignDomain),
    "issue-certificate": _service(c.IssueCertificate),
    "check-container": _service(c.CheckCandidate),
    "switch": _service(c.SwitchTraffic),
    "check-endpoint": _service(c.CheckEndpoint),
    "retire": _service(c.RetireRelease),
    "remove-service": _remove_service,
    "remove-database": _remove_database,
}
