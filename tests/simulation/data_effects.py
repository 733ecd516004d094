"""What commands on databases and jobs do on the target, as the deployer's local target does it."""

from dataclasses import replace

from shared.contracts import commands as c
from shared.contracts.commands import Command
from tests.simulation.target import Failed, Landing, Made, Target, made_by


def provision(target: Target, command: c.ProvisionDatabase) -> Landing:
    """Recorded, then run."""
    name = command.database.name
    made = target.standing(name) or Made(command.database, f"database-{command.step_key}", str(command.deployment), command.step_key)
    made.spec = command.database
    target.databases[name] = made
    return lambda: _run_database(target, made, command)


def _run_database(target: Target, made: Made, command: Command) -> None:
    """Its container carries the step that made the database, also where it is made again."""
    new = replace(made_by(command, "database", made.spec.name, started=True), deployment=made.deployment, step_key=made.step_key)
    target.containers.setdefault(made.container, new).started = True


def restore(target: Target, command: c.ProvisionDatabase) -> Landing | None:
    """Detached where this deployment made it, else its former spec."""
    made = target.databases.get(command.database.name)
    if made is None:
        return None
    if made.deployment == command.deployment:
        target.detach(made)
        return lambda: target.remove(made.container)
    made.spec = command.former or made.spec
    return None


def detach(target: Target, command: c.RemoveDatabase) -> Landing | None:
    """Marked, then the container goes."""
    made = target.databases.get(command.former.name)
    if made is None:
        return None
    target.detach(made)
    return lambda: target.remove(made.container)


def forget(target: Target, command: c.RemoveDatabase) -> None:
    """Its record goes last: whoever comes again still knows which container it was."""
    target.databases.pop(command.former.name, None)
    target.sweep()


def forget_made(target: Target, command: c.ProvisionDatabase) -> None:
    """The same, for one that this deployment made."""
    made = target.databases.get(command.database.name)
    if made is not None and made.deployment == command.deployment:
        del target.databases[command.database.name]


def check_database(target: Target, command: c.ConnectDatabase | c.CheckDatabase) -> None:
    """It answers."""
    made = target.databases.get(command.database.name)
    if made is None or made.container not in target.containers:
        raise Failed("the database is gone")


def connect_database(target: Target, command: c.ConnectDatabase) -> None:
    """Found by its name."""
    check_database(target, command)


def start_job(target: Target, command: c.RunJob) -> Landing | None:
    """Its container, once."""
    name = f"job-{command.step_key}"
    if name in target.containers:
        return None
    if command.step_key in target.undone:
        raise Failed("the deployment has ended: its job is not run again")
    return lambda: target.create(name, made_by(command, "job", command.job.name, started=False))


def run_job(target: Target, command: c.RunJob) -> Landing | None:
    """It runs, once."""
    name = f"job-{command.step_key}"
    found = target.containers.get(name)
    if found is None:
        raise Failed("the job's container is gone")
    return None if found.started else lambda: _run_job(target, name, command.step_key)


def _run_job(target: Target, name: str, step_key: str) -> None:
    found = target.containers.get(name)
    if found is not None and not found.started:
        found.started = True
        target.ran[step_key] = target.ran.get(step_key, 0) + 1


def undo_job(target: Target, command: c.RunJob) -> Landing | None:
    """Ended; its own undo runs where it had started."""
    name = f"job-{command.step_key}"
    found = target.containers.get(name)
    if found is None or not found.started:
        return lambda: target.remove_idle(name)
    if command.job.undo is not None:
        target.reverted.add(command.step_key)
    return lambda: target.remove(name)
