"""The real coordinator on real PostgreSQL and NATS, with participants that answer by script and a catalogue in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from pydantic import SecretStr

from services.coordinator import app
from services.coordinator.catalogue import CatalogueBehind, CatalogueBroken, Follower, Previews
from services.coordinator.coordinator import Coordinator
from services.coordinator.settings import Settings
from services.coordinator.snapshot import Snapshot
from shared.bus import Bus
from shared.contracts.changes import Change, ChangePushed, ChangeRequestOpened, FoundBy, Pusher, RequestChange
from shared.contracts.commands import AuthorizeDeployment, Command, Direction, Source
from shared.contracts.events import Event
from shared.contracts.facts import ApprovalRequested, Fact
from shared.contracts.gates import Gate
from shared.contracts.manifest import Manifest
from shared.contracts.places import ChangeRequest, EnvironmentKind, Place
from shared.contracts.releases import SecretRef
from shared.contracts.requests import Request
from shared.contracts.steps import KIND_OF
from shared.messages import utc_now
from shared.participant import Participant
from shared.process import Process, started
from shared.settings import ServiceSettings
from shared.work import StepFailure, Work
from tests.polling import eventually
from tests.stack import migrated, service_settings
from tests.unit.coordinator.scenario import PLACE, TODO, Script, fact_for, undone_for


class CatalogueInMemory:
    """What api would say: one environment that follows main; and previews, where `previews_into` says of what."""

    def __init__(self) -> None:
        self.snapshots = Snapshot()
        self.needs_approval = False
        self.gates: tuple[Gate, ...] = ()
        self.previews_into = ""
        self.most = 2
        self.previews: dict[str, Follower] = {}
        self.told: list[str] = []
        """What it was told of change requests, in order."""
        self.fails = 0
        """How often it still fails at what a plan needs."""
        self.behind = False
        """It has not heard yet of deployments that ended."""
        self.asked_after: list[str] = []
        """What it had to know of to say what a plan needs."""
        self.answers = asyncio.Event()
        """It says what becomes of a change request that was closed."""
        self.answers.set()
        self.lives: list[timedelta | Exception] = []
        """How long credentials to clone with live, one after the other, or why there is none; without any, they do not end."""

    async def followers(self, organization: str, project: str, connection: str) -> tuple[Follower, ...]:
        """Production follows refs/heads/main."""
        return (self._production(organization, project, connection),)

    async def environment(self, place: Place) -> Follower | None:
        """Production and the previews."""
        if place.environment == "production":
            return self._production(place.organization, place.project, "todo")
        return self.previews.get(place.environment.removeprefix("pr-"))

    def _production(self, organization: str, project: str, connection: str) -> Follower:
        place = Place(organization=organization, project=project, environment="production")
        kind, ref = EnvironmentKind.PRODUCTION, "refs/heads/main"
        return Follower(place, kind, "local", ref, connection, self.needs_approval, gates=self.gates)

    async def open_previews(self, change: RequestChange) -> Previews:
        """One each, as many as there may be."""
        if change.number not in self.previews and change.target != self.previews_into:
            return Previews()
        if change.number not in self.previews and len(self.previews) >= self.most:
            return Previews(refused=("there are enough",))
        place = Place(organization=change.organization, project=change.project, environment=f"pr-{change.number}")
        of = ChangeRequest(repository=change.repository, number=change.number)
        preview = Follower(
            place, EnvironmentKind.PREVIEW, "local", change.ref, change.connection, preview=True, change_request=of, fork=change.fork
        )
        self.told.append("opened")
        self.previews[change.number] = replace(self.previews.get(change.number, preview), removing=False)
        return Previews((self.previews[change.number],))

    async def close_previews(self, change: RequestChange) -> Previews:
        """The one that there is."""
        self.told.append("closed")
        await self.answers.wait()
        if change.number not in self.previews:
            return Previews()
        self.previews[change.number] = replace(self.previews[change.number], removing=True)
        return Previews((self.previews[change.number],))

    async def source(
        self, organization: str, project: str, connection: str, target: str, ref: str, commit: str, *, made: bool = False
    ) -> Source:
        """A repository that nobody clones."""
        lives = (self.lives.pop(0) if made else timedelta(0)) if self.lives else None
        if isinstance(lives, Exception):
            raise lives
        until = None if lives is None else utc_now() + lives
        fields = {"connection": connection, "repository": "slipway/main/todo", "clone_url": "http://x", "ref": ref, "commit": commit}
        return Source.model_validate(fields | {"valid_until": until, "password": "made" if made else None})

    async def snapshot(self, place: Place, pinned: tuple[SecretRef, ...] = (), after: str | None = None) -> Snapshot:
        """What was set."""
        if self.fails:
            self.fails -= 1
            raise CatalogueBroken("catalogue: it failed")
        if after is not None:
            self.asked_after.append(after)
            if self.behind:
                raise CatalogueBehind
        return self.snapshots


@dataclass
class World:
    """The coordinator, its participants, and all events so far."""

    nats_url: str
    coordinator: Coordinator
    admin: Bus
    catalogue: CatalogueInMemory
    events: list[Event] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    script: Script = lambda _command: None
    manifest: Manifest = TODO
    trees: dict[str, str] = field(default_factory=dict)
    _arrival: int = 0

    async def push(self, commit: str, ref: str = "refs/heads/main") -> ChangePushed:
        """A change, as webhooks would write it."""
        self._arrival += 1
        change = ChangePushed(
            organization="main", project="todo", connection="todo", repository="slipway/main/todo", clone_url="http://x", ref=ref,
            commit=commit * 40, arrival=self._arrival, pusher=Pusher(forge="slipway", person="ada"), found_by=FoundBy.PUSH,
        )  # fmt: skip
        await self.send(change)
        return change

    async def change_request(self, kind: type[RequestChange] = ChangeRequestOpened, commit: str = "a", **more: object) -> RequestChange:
        """A change of change request 7, as webhooks would write it."""
        self._arrival += 1
        fields: dict[str, object] = {
            "organization": "main", "project": "todo", "connection": "todo", "repository": "github.com/acme/todo", "clone_url": "http://x",
            "ref": "refs/heads/feature", "commit": commit * 40, "arrival": self._arrival, "pusher": Pusher(forge="github", login="bob"),
            "title": "Due dates", "found_by": FoundBy.DELIVERY, "number": "7", "source": "feature", "target": "refs/heads/main", "fork": False,
        }  # fmt: skip
        change = kind.model_validate(fields | more)
        await self.send(change)
        return change

    async def send(self, change: Change, message_id: str | None = None) -> None:
        """Publishes a change."""
        await self.admin.publish("slipway.chg.main.todo", change, message_id=message_id)

    async def request(self, request: Request) -> None:
        """A wish, as api would write it."""
        await self.admin.publish(f"slipway.req.main.{request.verb}", request)

    async def event(self, name: str, deployment: str | None = None, count: int = 1, within: float = 15) -> Event:
        """Waits for the n-th event of a name."""

        async def seen() -> Event | None:
            found = [event for event in self.events if event.name == name and deployment in {None, event.deployment}]
            assert len(found) >= count, f"{name} is missing in {[event.name for event in self.events]}"
            return found[count - 1]

        found = await eventually(seen, within=within)
        assert found is not None
        return found

    async def handle(self, command: Command, _work: Work) -> Fact:
        """Any participant."""
        self.commands.append(command)
        said = self.script(command)
        if isinstance(command, AuthorizeDeployment) and command.needs_approval:
            return ApprovalRequested(rule="production asks for approval")
        if isinstance(command, AuthorizeDeployment) and command.fork:
            return ApprovalRequested(rule="a fork asks for approval")
        if isinstance(said, str):
            await asyncio.Event().wait()
        elif said is not None:
            raise StepFailure(said.code, said.message, may_pass=said.may_pass)
        return undone_for(command) if command.direction is Direction.UNDO else fact_for(command, self.manifest, self.trees)


Handle = Callable[[Command, Work], Awaitable[Fact]]


@asynccontextmanager
async def world(
    nats_url: str, dsn: str, *, handle: Callable[[World], Handle] = lambda made: made.handle, **limits: object
) -> AsyncIterator[World]:
    """Everything running; every participant handles commands with `handle`."""
    await migrated(dsn, "coordinator")
    settings = service_settings(Settings, "coordinator", nats_url, postgres_dsn=SecretStr(dsn), **limits)
    admin = await Bus.connect(service_settings(ServiceSettings, "admin", nats_url), "admin")
    async with started("coordinator", settings) as process:
        catalogue = CatalogueInMemory()
        built = await app.build(process, settings, catalogue)  # type: ignore[arg-type]
        made = World(nats_url, built, admin, catalogue)
        tasks = [asyncio.create_task(process.until_stopped()), asyncio.create_task(_follow(made))]
        buses = [await _participant(name, made, handle(made), tasks) for name in ("auth", "builder", "deployer")]
        try:
            yield made
        finally:
            await _stop(process, tasks, [*buses, admin])


async def _participant(name: str, made: World, handle: Handle, tasks: list["asyncio.Task[None]"]) -> Bus:
    settings = service_settings(ServiceSettings, name, made.nats_url)
    bus = await Bus.connect(settings, name)
    mine = [command for command, kind in KIND_OF.items() if kind.participant == name]
    handlers = dict.fromkeys(mine, handle)
    tasks.append(asyncio.create_task(Participant(name, settings, bus, handlers, handlers).run()))
    return bus


async def _follow(made: World) -> None:
    subscription = await made.admin.js.subscribe("slipway.evt.>", ordered_consumer=True)
    async for message in subscription.messages:
        made.events.append(Event.decode(message.data))


async def _stop(process: Process, tasks: list["asyncio.Task[None]"], buses: list[Bus]) -> None:
    process.stop()
    await tasks[0]
    for task in tasks[1:]:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for bus in buses:
        await bus.close()


__all__ = ["PLACE"]
