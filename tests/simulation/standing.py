"""What stands on the target, against what shall: nothing of a deployment that went back, and all of what the environment runs."""

from typing import TYPE_CHECKING

from services.coordinator.saga import DeploymentState, Saga, Step, StepState
from services.coordinator.snapshot import Record
from tests.simulation.book import Book
from tests.simulation.goals import Goal, Goals
from tests.simulation.target import container_of
from tests.simulation.violation import hold

if TYPE_CHECKING:
    from tests.simulation.world import World


class Standing:
    """Excuses a service, database or job only for what a person accepted of it, or what could not be taken away of it."""

    def __init__(self, world: "World", book: Book, goals: Goals) -> None:
        self._world, self._book, self._goals = world, book, goals
        self._accepted: set[tuple[str, str]] = set()
        """Deployment and step whose undo a person did without."""
        self._kept: set[tuple[str, str]] = set()
        """Deployment and what of it may stand though it went back, or is over."""
        self._astray: set[str] = set()
        """What need not be as the record says, until a deployment that changes it succeeds."""
        self._leftovers: set[str] = set()
        """What may be there besides, until then."""
        self._run_on: set[str] = set()
        """Services whose former release may run on: until then, or until a deployment turns back."""
        self._named: set[str] = set()
        """Services whose former names may be theirs, until then."""
        self._gone: list[str] = []
        """Deployments of which nothing may stand."""

    def accepted(self, saga: Saga) -> None:
        """Somebody takes the environment as it stands: steps that could not be undone are left."""
        for step in saga.steps.values():
            if step.state is StepState.UNDO_FAILED:
                self._accepted.add((saga.id, step.name))
                self._kept.add((saga.id, str(step.item)))
                self._astray.add(str(step.item))

    def ended(self, saga: Saga) -> None:
        """A deployment has."""
        good, goal = saga.state is DeploymentState.SUCCEEDED, self._goals.of(saga)
        if good:
            assert goal is not None
            self._succeeded(saga, goal)
        else:
            left = [step.name for step in saga.steps.values() if step.row.undone is not None and not self._is_back(saga, step)]
            hold(not left, f"{saga.id} is {saga.state}, and {left} are not undone")
            self._gone.append(saga.id)
            if any(step.row.participant == "deployer" and (saga.id, step.name) in self._book.undone for step in saga.steps.values()):
                self._run_on.clear()
        self.nothing_came_back()
        if saga.epoch is not None:
            self._retired(f"{saga.id} is {saga.state}, and")
            self._runs(self._goals.runs.record, f"{saga.id} is {saga.state}, and")
            self._jobs(saga, goal, good=good)

    def _is_back(self, saga: Saga, step: Step) -> bool:
        key = (saga.id, step.name)
        return not self._book.was_sent(*key) or key in self._book.undone or key in self._accepted

    def _succeeded(self, saga: Saga, goal: Goal) -> None:
        retired = [f"retire-{name}" for name in goal.changed]
        removed = [f"remove-service-{name}" for name in goal.former.releases.keys() - goal.releases.keys()]
        detached = [f"remove-database-{name}" for name in goal.former.databases.keys() - goal.databases.keys()]
        touched = [saga.steps[name] for name in (*retired, *removed, *detached)]
        over = {*goal.databases, *(str(step.item) for step in touched)}
        for excused in (self._astray, self._leftovers, self._run_on, self._named):
            excused.difference_update(over)
        in_vain = {str(step.item) for step in touched if (saga.id, step.name) not in self._book.done}
        unretired = in_vain.intersection(goal.changed)
        self._run_on |= unretired
        self._named |= unretired
        self._leftovers |= in_vain - unretired
        if not any((saga.id, name) in self._book.done for name in (*retired, *removed)):
            self._kept |= {(saga.id, name) for name in goal.jobs}

    def nothing_came_back(self) -> None:
        """Of no deployment that went back anything stands, but for what came after its last sweep."""
        for name in self._gone:
            stands = [words for item, words in self._world.target.of(name) if (name, item) not in self._kept]
            hold(not stands, f"{name} is {self._world.database.sagas[name].state}, and there is still: {', '.join(stands)}")

    def _runs(self, record: Record, when: str) -> None:
        target = self._world.target
        for name, release in record.releases.items():
            if name in self._astray:
                continue
            hold(target.service(name).runs(release.key), f"{when} {name} is not {release.key}")
            hold(target.has_running(container_of(release)), f"{when} {name} does not run")
        for name, spec in record.databases.items():
            if name in self._astray:
                continue
            made = target.databases.get(name)
            hold(made is not None and not made.detached, f"{when} the database {name} is missing")
            hold(made is None or made.spec == spec, f"{when} the database {name} is another")
            hold(made is None or target.has_running(made.container), f"{when} the database {name} does not run")

    def _retired(self, when: str) -> None:
        excused = self._astray | self._leftovers | self._run_on
        kept = {one.service: one.former.container for one in self._world.target.services.values() if one.former is not None}
        hold(kept.keys() <= excused, f"{when} {kept} are still in the record")

    def _jobs(self, saga: Saga, goal: Goal | None, *, good: bool) -> None:
        target = self._world.target
        for name, job in ({} if goal is None else goal.jobs).items():
            key = f"{saga.id}-run-job-{name}"
            hold(target.ran.get(key, 0) <= 1, f"the job {name} of {saga.id} ran {target.ran.get(key)} times")
            hold(not good or target.ran.get(key) == 1, f"{saga.id} succeeded, and its job {name} has not run")
            hold(not good or key not in target.reverted, f"{saga.id} succeeded, and its job {name} was undone")
            if not good and key in target.ran and job.undo and (saga.id, f"run-job-{name}") not in self._accepted:
                hold(key in target.reverted, f"{saga.id} went back, and its job {name} was not undone")

    def is_the_record(self) -> None:
        """Nothing is missing, and nothing is there besides."""
        target, record = self._world.target, self._goals.runs.record
        in_all = self._astray | self._leftovers
        excused = in_all | self._run_on
        said = self._world.database.environment.record
        keys = {name: release.key for name, release in record.releases.items()}
        hold({name: release.key for name, release in said.releases.items()} == keys, "in the end the record's releases are others")
        hold(said.databases == record.databases, "in the end the record's databases are others")
        self.nothing_came_back()
        self._runs(record, "in the end")
        wanted = {container_of(release) for release in record.releases.values()}
        wanted |= {made.container for name in record.databases if (made := target.databases.get(name)) is not None}
        besides = [
            name for name, one in target.containers.items()
            if not (name in wanted or one.late or one.service in excused or (one.deployment, one.service) in self._kept)
        ]  # fmt: skip
        hold(not besides, f"in the end there are {sorted(besides)} besides {sorted(wanted)}")
        others = target.services.keys() ^ record.releases.keys()
        hold(others <= in_all, f"in the end there are the services {sorted(target.services)}")
        for one in target.services.values():
            half = one.candidate is not None or one.former is not None or one.candidate_certificate
            hold(not half or one.service in excused, f"in the end {one.service} is half done")
        hosts = {host: name for name, release in record.releases.items() for host in release.hosts}
        owners = {host: name for host, (name, _) in target.domains.items()}
        named = {name for host, name in owners.items() ^ hosts.items()}
        hold(named <= in_all | self._named, f"in the end there are the names {sorted(target.domains)}")
        hold(target.databases.keys() - in_all <= record.databases.keys(), f"in the end there are the databases {sorted(target.databases)}")
