"""One schedule: every process, the bus, the database, the target, the clock, and who decides what happens next."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import inf

from services.coordinator.saga import DeploymentState, Saga
from shared.contracts import facts as f
from shared.contracts import requests as r
from shared.contracts.commands import AuthorizeDeployment, Command, Direction
from tests.simulation import applications, deliveries, faults, previews, profile, wishes
from tests.simulation.coordinator import Coordinator
from tests.simulation.database import Database
from tests.simulation.decisions import Decisions
from tests.simulation.gates import Tool, are_strange, gates_of
from tests.simulation.invariants import Invariants
from tests.simulation.participants import Process, StepFailure, Unexpected, fact_of
from tests.simulation.streams import Bus
from tests.simulation.target import Target
from tests.simulation.tasks import Party, Steps, Task
from tests.simulation.violation import Violation, hold

CALM_TURNS = 8000
"""A schedule in which nothing goes wrong any more ends within so many turns."""
MOMENT_S = 0.002


class World:
    """Made for one schedule, run once."""

    def __init__(self, seed: int, given: Sequence[int] | None = None, *, telling: bool = False) -> None:
        self.seed, self.decisions = seed, Decisions(seed, given)
        self.told: list[str] | None = [] if telling else None
        self.counts: Counter[str] = Counter()
        """How often each kind of thing went wrong."""
        self.profile = profile.draw(self.decisions, seed)
        self.turmoil = True
        self.now = self.offset = 0.0
        self.turns = self._ids = 0
        self.preview = seed % 7 == 2
        """The environment is a change request's own."""
        self.broken: set[tuple[str, Direction]] = set()
        self.gates = gates_of(seed)
        self.replicated = seed % 4 == 1
        """Two processes of the coordinator. By the number, so that the decisions of the other schedules stay as they are."""
        self.contended = self.replicated or self.preview
        """Transactions take time, and wait for each other's rows."""
        self.variants = {0: self.profile.former or 0}
        self.bus, self.database, self.target = Bus(self), Database(), Target()
        self.invariants = Invariants(self)
        self._make_parties()
        if self.profile.former is not None:
            self._given(self.profile.former)
        if self.preview:
            self._preview(previews.TTL_S[seed // 7 % 2])
        if self.profile.restored:
            self.target.fence = 40

    def _make_parties(self) -> None:
        events, commands = self.bus.events, self.bus.commands
        self.results, self.changes, self.requests = self.bus.results.consumer(), self.bus.changes.consumer(), self.bus.requests.consumer()
        settled = events.consumer(lambda subject: ".change." in subject)
        self.webhooks = deliveries.Webhooks("webhooks", world=self, stored=deliveries.Stored(), settled=settled)
        self.api = wishes.Api("api", world=self, stored=wishes.Stored(), events=events.consumer())
        names = ("coordinator-1", "coordinator-2") if self.replicated else ("coordinator",)
        self.coordinators = [Coordinator(name, world=self) for name in names]
        self.processes: list[Process] = []
        for participant, count in (("auth", 1), ("builder", 1), ("deployer", 2)):
            consumer = commands.consumer(lambda subject, mine=f".{participant}.": mine in subject)  # type: ignore[misc]
            mine = [Process(f"{participant}-{n + 1}", participant=participant, world=self, consumer=consumer) for n in range(count)]
            consumer.is_worked_at = lambda sequence, mine=mine: any(one.works_at(sequence) for one in mine)  # type: ignore[misc]
            self.processes += mine
        self._clockwork = Party("clockwork", up=True)
        asked = events.consumer(lambda subject: ".gate.requested." in subject)
        tools = [Tool("tool", world=self, asked=asked, strange=are_strange(self.seed))] if self.gates else []
        self.parties: list[Party] = [*self.coordinators, self.webhooks, self.api, *self.processes, *tools]
        self._all = (*self.parties, self._clockwork)
        for party in self.parties:
            party.start(0.0)

    def _given(self, variant: int) -> None:
        record, environment = applications.record(variant), self.database.environment
        environment.record, environment.deployment, environment.epoch = record, "d0", 1
        self.database.records["d0"] = record
        self.target.given(record, "d0")
        self.invariants.goals.given(record, variant)
        self.target.fence = 1

    def _preview(self, ttl_s: float) -> None:
        catalogue, there = self.api.stored.catalogue, self.profile.former is not None
        catalogue.ttl = timedelta(seconds=ttl_s)
        catalogue.entry = previews.Entry(self.clock()) if there else None
        self.webhooks.stored.is_open = there
        self.api.look_at_previews()

    # What the parties ask

    def happens(self, probability: float) -> bool:
        """Something goes wrong, as long as anything does."""
        return self.turmoil and self.decisions.happens(probability)

    def pick(self, count: int) -> int:
        """One of so many."""
        return self.decisions.pick(count) if self.turmoil else 0

    def clock(self) -> datetime:
        """The database's."""
        return applications.START + timedelta(seconds=self.now + self.offset)

    def database_now(self) -> float:
        """The same, in seconds."""
        return self.now + self.offset

    def fresh_id(self, kind: str) -> str:
        """An id that nothing else has."""
        self._ids += 1
        return f"{kind}-{self._ids}"

    def tell(self, text: str) -> None:
        """A line of the schedule, where somebody wants to read it."""
        if self.told is not None:
            self.told.append(f"{self.now:10.3f}  {text}")

    def trouble(self, command: Command, *, at_the_end: bool = False) -> None:
        """A step fails: once, for good, from now on, or by a defect."""
        key = (command.step_key, command.direction)
        if self.turmoil and key in self.broken:
            raise StepFailure("broken")
        sick = self.profile.sick if command.direction is Direction.DO else self.profile.sick_undo
        if at_the_end is not self.profile.idle and sick and str(command.step).startswith(sick) and self.happens(self.profile.sickness):
            self.counts[f"a sick {command.direction}"] += 1
            self.tell(f"trouble: {command.attempt_id} is sick")
            raise StepFailure("sick", may_pass=self.pick(4) == 3)
        if self.happens(self.profile.failures):
            fate = self.pick(4)
            kind = ("passes", "for good", "lasts", "a defect")[fate]
            self.counts[kind] += 1
            self.tell(f"trouble: {command.attempt_id} {kind}")
            if fate == 2:
                self.broken.add(key)
            if fate == 3:
                raise Unexpected
            raise StepFailure("broken", may_pass=fate == 0)

    def fact(self, command: Command) -> f.Fact:
        """What is true after a command that worked."""
        if isinstance(command, AuthorizeDeployment) and self.happens(self.profile.approvals):
            self.counts["approval"] += 1
            return f.ApprovalRequested(rule="production asks")
        if self.happens(self.profile.refusals):
            self.counts["denied" if isinstance(command, AuthorizeDeployment) else f"nonsense of a {command.direction}"] += 1
            return f.DeploymentDenied(rule="no", reason="denied, or nonsense")
        return self.true_after(command)

    def true_after(self, command: Command) -> f.Fact:
        """The same, where nobody refuses."""
        source = self.database.sagas[str(command.deployment)].origin.source
        number = int(source.commit, 16) if source else 0
        return fact_of(command, self.variants[number], number)

    def live(self) -> list[Saga]:
        """Deployments that have not ended."""
        return [saga for saga in self.database.sagas.values() if not saga.state.final]

    # What happens to them

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Something that comes by itself."""

        def steps() -> Steps[None]:
            yield seconds
            what()

        self._clockwork.spawn("later", steps(), self.now)

    def crash(self, party: Party, down_s: float = 0.0) -> None:
        """It dies, and is started again."""
        self.tell(f"{party.name}: dies, back in {down_s:g} s")
        party.crash()
        if self.target.holder is party:
            self.target.holder = None
        self.later(down_s, lambda: party.start(self.now))

    def cut(self, replica: Coordinator) -> None:
        """The database ends its connections: its transactions are rolled back, and it learns of it when it asks for more."""
        self.tell(f"database: ends the connections of {replica.name}")
        self.database.cut(replica)
        replica.relay.let_go()

    def bus_is_back(self) -> None:
        """After an outage."""
        if not self.bus.up:
            self.tell("bus: back")
            self.bus.come_up()
            self.reconnect()

    def reconnect(self) -> None:
        """Everybody notices that the connection was new."""
        for party in self.parties:
            if party.up:
                party.reconnected(self.now)

    def land(self, index: int) -> None:
        """The container engine comes to a request whose sender is gone."""
        key, landing = self.target.late.pop(index)
        self.tell(f"target: a late request of {key} lands")
        self.target.land(landing)
        self.invariants.standing.nothing_came_back()

    def reconcile(self) -> None:
        """The deployer compares record and target."""
        self.tell("target: reconciled")
        self.target.reconcile()
        self.target.reconciled()
        self.invariants.standing.nothing_came_back()

    def push(self) -> None:
        """Somebody pushes a commit of some application, or closes its change request."""
        pushed, variants = self.webhooks.stored.pushed, self.profile.variants
        self.variants[pushed + 1] = variants[self.decisions.pick(len(variants))]
        closes = self.preview and self.webhooks.stored.is_open and self.pick(3) > 0
        older = 1 + self.pick(pushed) if pushed and self.happens(self.profile.going_back) else None
        self.webhooks.push(closes=closes, older=older)

    # The course of a schedule

    def run(self) -> None:
        """Trouble, then calm, then the end. Raises `Violation`."""
        self.push()
        self.turmoil = self.profile.from_the_start
        end = self.turns + CALM_TURNS
        while not self.turmoil:
            hold(self.turns < end, f"nothing goes wrong, and the environment is not taken: {self._unfinished()}")
            self._go_on()
            self.turmoil = self.database.holder() is not None
        end = self.turns + self.profile.turns
        while self.turns < end:
            if not self._trouble():
                self._go_on()
        self._calm_down()
        end = self.turns + CALM_TURNS
        while not (self.turns % 16 == 0 and self._quiet()):
            if self.turns >= end:
                raise Violation(f"no end in sight: {self._unfinished()}")
            self._go_on()
        self.invariants.at_the_end()
        self.reconcile()
        self.invariants.at_the_end()
        if self.preview:
            previews.at_the_end(self)

    def _trouble(self) -> bool:
        now = self.profile
        pushes = 0.02 if self.webhooks.stored.pushed < now.pushes + (3 if self.preview else 0) else 0.0
        strikes = now.strikes if now.kinds else 0.0
        chance = pushes + now.people + strikes
        if not self.decisions.happens(chance):
            return False
        self.turns += 1
        what = self.pick(100) / 100 * chance
        if what >= pushes + now.people:
            faults.KINDS[now.kinds[self.pick(len(now.kinds))]](self)
        elif what >= pushes:
            faults.person(self)
        elif self.webhooks.up:
            self.push()
        return True

    def _go_on(self) -> None:
        self.turns += 1
        self.now = now = self.now + MOMENT_S
        ready = [task for party in self._all for task in party.tasks if task.ready_at <= now]
        if not ready or self.happens(self.profile.hurry):
            soonest = min((task.ready_at for party in self._all for task in party.tasks if task.ready_at > now), default=inf)
            if soonest < inf:
                self.now = soonest
            elif not ready:
                hold(self.turmoil or self._quiet(), f"nothing can go on: {self._unfinished()}")
            return
        place = self.decisions.pick(len(ready), self.profile.disorder) if self.turmoil and self.profile.disorder else 0
        if place:
            ready.sort(key=_longest_waiting)
        (ready[place] if place else min(ready, key=_longest_waiting)).go(self.now)

    def _calm_down(self) -> None:
        self.tell("calm: nothing goes wrong any more")
        self.turmoil = False
        self.bus_is_back()
        while self.bus.under_way:
            self.bus.arrive(0)
        self._clockwork.spawn("people", self._people(), self.now)

    def _people(self) -> Steps[None]:
        """In the end somebody decides about what waits for them."""
        while True:
            yield 60.0
            while self.target.late:
                self.land(0)
            for saga in self.live():
                if saga.state is DeploymentState.STUCK:
                    self.api.wish(r.RetryRequested, target_deployment=saga.id)
                elif saga.waits_for_approval:
                    self.api.wish(r.ApproveRequested, target_deployment=saga.id)

    def _quiet(self) -> bool:
        return not self._unfinished()

    def _unfinished(self) -> str:
        """What is still to come, in words."""
        if live := self.live():
            return ", ".join(f"{saga.id} is {saga.state}" for saga in live)
        stores = {"coordinator": self.database.outbox, "webhooks": self.webhooks.stored.outbox, "api": self.api.stored.outbox}
        waiting = [f"{len(outbox.unsent)} messages of {name}" for name, outbox in stores.items() if outbox.unsent]
        waiting += [f"{len(s.messages)} in {s.name}" for s in self.bus.streams.values() if s.messages and not s.keeps]
        waiting += [f"events for {c.waiting or c.flying}" for c in self.bus.events.consumers if c.waiting or c.flying]
        waiting += [f"{len(process.working)} workers of {process.name}" for process in self.processes if process.working]
        waiting += [f"{party.name} is down" for party in self.parties if not party.up]
        waiting += [f"nobody has looked for losses of {name}" for name, outbox in stores.items() if outbox.unsafe]
        waiting += [f"{key} is locked" for key in self.database.locks]
        waiting += ["late requests"] if self.target.late else []
        waiting += ["a release runs on"] if self.target.left else []
        waiting += ["a preview is being removed"] if self.preview and self.api.stored.catalogue.is_going else []
        waiting += ["unsettled changes"] if self.webhooks.stored.unsettled else []
        return ", ".join(waiting)


def _longest_waiting(task: Task) -> float:
    return task.ready_at
