"""Defects of what a deployment shall do: its plan, the order of its steps, and what its commands say."""

from services.coordinator import answers, commands, graph, plan
from services.coordinator.move import Move
from services.coordinator.saga import Plan, Saga, Step
from services.coordinator.snapshot import Record, Snapshot
from shared.contracts import commands as c
from shared.contracts.facts import Fact, ImageBuilt
from tests.simulation.mutants import Patches, mutant


@mutant
def never_looks_from_outside(patches: Patches) -> None:
    """The former release is retired, and nobody has looked whether the new one answers at its address."""
    real = graph._switches

    def switches(plan: Plan, steps: list[Step], changed: list[str], ready: list[str]) -> list[str]:
        real(plan, steps, changed, ready)
        steps[:] = [step for step in steps if step.kind != "check-endpoint"]
        return [f"switch-{name}" for name in changed[-1:]]

    patches.replace(graph, "_switches", switches)


@mutant
def starts_candidates_before_the_jobs(patches: Patches) -> None:
    """A candidate does not wait for the migrations."""
    real = graph._candidate

    def candidate(plan: Plan, steps: list[Step], name: str, before: list[str], images: dict[str, str]) -> str:
        return real(plan, steps, name, [other for other in before if not other.startswith("run-job-")], images)

    patches.replace(graph, "_candidate", candidate)


@mutant
def returns_to_what_runs(patches: Patches) -> None:
    """A roll-back by hand releases once more what runs now."""
    real = plan._return_to
    patches.replace(plan, "_return_to", lambda record, _goal: real(record, record))


@mutant
def forgets_a_service(patches: Patches) -> None:
    """The plan leaves out a service of the manifest."""
    real = plan._from_manifest

    def from_manifest(saga: Saga, snapshot: Snapshot, record: Record) -> Plan:
        wanted = real(saga, snapshot, record)
        return wanted.model_copy(update={"releases": dict(list(wanted.releases.items())[:1])}) if not wanted.jobs else wanted

    patches.replace(plan, "_from_manifest", from_manifest)


@mutant
def forgets_the_former_database(patches: Patches) -> None:
    """The undo of a database does not know what it was before."""
    fields = commands._database(c.ProvisionDatabase, with_former=False)
    patches.replace(commands, "_FIELDS", commands._FIELDS | {"provision-database": fields})


@mutant
def runs_another_image(patches: Patches) -> None:
    """What is released is not what was built."""
    real = answers._apply

    def apply(move_: Move, step: Step, fact: Fact) -> None:
        real(move_, step, fact.model_copy(update={"image": f"{fact.image}0"}) if isinstance(fact, ImageBuilt) else fact)

    patches.replace(answers, "_apply", apply)
