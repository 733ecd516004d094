"""Defects of what surrounds the engine: inbox, outbox, driver, fence, target."""

from dataclasses import replace as changed
from typing import Any

from services.deployer.targets.local.records import ServiceRecord
from shared.contracts import commands as c
from shared.contracts.commands import Command
from tests.simulation import data_effects, effects, participants, service_effects
from tests.simulation.coordinator import Coordinator
from tests.simulation.database import Database
from tests.simulation.mutants import Patches, mutant
from tests.simulation.participants import Process
from tests.simulation.streams import Delivery
from tests.simulation.target import Container, Landing, Target, made_by
from tests.simulation.tasks import Steps
from tests.simulation.work import Work


@mutant
def has_no_inbox(patches: Patches) -> None:
    """A message that comes again is handled again."""
    patches.replace(Database, "knows", lambda _database, _id: False)


@mutant
def acknowledges_first(patches: Patches) -> None:
    """The coordinator acknowledges before it has committed."""
    real = Coordinator._take

    def take(coordinator: Coordinator, name: str, found: list[Delivery]) -> Steps[None]:
        for delivery in found:
            delivery.acknowledge()
        yield 0.0
        yield from real(coordinator, name, found)

    patches.replace(Coordinator, "_take", take)


@mutant
def writes_messages_after_the_commit(patches: Patches) -> None:
    """State and messages are written in two transactions."""
    real = Coordinator.committed

    def committed(coordinator: Coordinator, work: Work) -> Steps[None]:
        yield 0.0
        yield from real(coordinator, work)

    patches.replace(Coordinator, "committed", committed)


@mutant
def forgets_the_environments_epoch(patches: Patches) -> None:
    """The next deployment counts from the same epoch."""
    real = Work._save

    def save(work: Work, before: Any, saga: Any) -> None:
        real(work, before, saga)
        work.world.database.environment.epoch = 1

    patches.replace(Work, "_save", save)


@mutant
def takes_a_held_environment(patches: Patches) -> None:
    """The driver does not look who holds it."""
    patches.replace(Coordinator, "is_free", lambda _coordinator: True)


@mutant
def keeps_timers_in_memory(patches: Patches) -> None:
    """They die with the coordinator."""
    real = Coordinator.start

    def start(coordinator: Coordinator, now: float) -> None:
        coordinator.world.database.wake_at.clear()
        real(coordinator, now)

    patches.replace(Coordinator, "start", start)


@mutant
def has_no_fence(patches: Patches) -> None:
    """Workers do what they are told, whatever the epoch."""

    def admit(process: Process, command: Command) -> None:
        process.world.target.fence = max(process.world.target.fence, command.epoch or 0)

    patches.replace(participants, "admit", admit)


@mutant
def keeps_a_fence_in_each_process(patches: Patches) -> None:
    """A deployer knows only the epochs that it has seen itself since its start."""
    seen: dict[tuple[Process, int], int] = {}

    def admit(process: Process, command: Command) -> None:
        key, epoch = (process, process.starts), command.epoch or 0
        if epoch < seen.get(key, 0):
            raise participants.LowerEpoch
        seen[key] = epoch

    patches.replace(participants, "admit", admit)


@mutant
def never_sweeps(patches: Patches) -> None:
    """What comes late stays."""
    patches.replace(Target, "sweep", lambda _target, **_: None)


@mutant
def sweeps_only_when_it_reconciles(patches: Patches) -> None:
    """The last undo leaves what came late."""
    patches.replace(effects, "sweep", lambda _target, _command: None)


@mutant
def keeps_what_another_deployment_replaced(patches: Patches) -> None:
    """An undo leaves the release in the record that a deployment before it could not retire."""
    patches.replace(ServiceRecord, "outlived", lambda record, _deployment: record)


@mutant
def tells_nobody_of_what_was_left(patches: Patches) -> None:
    """Who reconciles is not woken: the release runs on."""
    patches.replace(Target, "outlived", lambda _target, _epoch: False)


@mutant
def removes_jobs_that_run_by_now(patches: Patches) -> None:
    """A start that lands between the look and the removal goes unseen."""
    patches.replace(Target, "remove_idle", lambda target, name: target.remove(name))


@mutant
def reconciles_without_a_sweep(patches: Patches) -> None:
    """What comes after the last undo stays for ever."""

    def reconcile(target: Target) -> None:
        for name in list(target.databases):
            target.standing(name)
        for record in target.services.values():
            if record.live is not None and not record.giving_way:
                target.bring_back(record.live)

    patches.replace(Target, "reconcile", reconcile)


@mutant
def leaves_what_a_removed_database_left(patches: Patches) -> None:
    """A request for a database that lands after its removal stays for ever."""
    patches.replace(Target, "detach", lambda _target, made: setattr(made, "detached", True))


@mutant
def sweeps_jobs_away(patches: Patches) -> None:
    """The sweep of one undo removes the container of a job before that job's own undo has seen it."""
    real = Target.sweep

    def sweep(target: Target, below: int = 0) -> None:
        real(target, below)
        for name, container in list(target.containers.items()):
            if container.role == "job" and container.step_key in target.undone:
                del target.containers[name]

    patches.replace(Target, "sweep", sweep)


@mutant
def runs_jobs_again(patches: Patches) -> None:
    """A command that comes again migrates again."""

    def run_job(target: Target, command: c.RunJob) -> Landing | None:
        found = target.containers.get(f"job-{command.step_key}")
        if found is not None:
            found.started = False
        return data_effects.run_job(target, command)

    patches.replace(effects, "DO", effects.DO | {c.RunJob: (data_effects.start_job, run_job)})


@mutant
def leaves_the_former_stopped(patches: Patches) -> None:
    """Traffic goes back to a release that does not run."""
    script = (service_effects.stop_again, service_effects.switch_back)
    patches.replace(effects, "UNDO", effects.UNDO | {c.SwitchTraffic: script})


@mutant
def gives_others_names_back(patches: Patches) -> None:
    """The undo of a claim frees names that an earlier deployment claimed."""

    def give_back(target: Target, command: c.AssignDomain) -> None:
        for host in command.release.hosts:
            target.domains.pop(host, None)

    patches.replace(effects, "UNDO", effects.UNDO | {c.AssignDomain: (give_back,)})


@mutant
def labels_nothing(patches: Patches) -> None:
    """Containers do not say which step made them."""
    real = made_by

    def unlabelled(command: Command, role: str, service: str, *, started: bool) -> Container:
        return changed(real(command, role, service, started=started), step_key="", epoch=10**6)

    patches.replace(data_effects, "made_by", unlabelled)
    patches.replace(service_effects, "made_by", unlabelled)
