"""Faults at one step of one project's deployments: the rule that a test writes, and the participant that follows it.

The handlers, the fence and everything below them are the real ones; they are only called around a fault.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nats.aio.msg import Msg

from services.deployer.fence import Claim, Fence
from shared.bus import Bus
from shared.contracts.answers import Answer, Outcome
from shared.contracts.commands import Command, Direction
from shared.contracts.facts import DeploymentDenied, Fact
from shared.contracts.places import Place
from shared.letters import Delivered
from shared.participant import Participant
from shared.settings import ServiceSettings
from shared.work import AnyHandler, StepFailure, Work


class Fault(StrEnum):
    """What goes wrong."""

    FAILS = "fails"
    """It does its work, and then says for good that it failed."""
    DENIES = "denies"
    """Auth says no."""
    LOSES = "loses"
    """It does its work, and its first answer gets lost."""
    DIES = "dies"
    """Its process ends half-way, the first time: after its first effect, where it has several."""
    SLEEPS = "sleeps"
    """The first worker falls asleep once the fence has let it in, the second one fails; it wakes up when all is over."""
    OVERSLEEPS = "oversleeps"
    """The same, but the second one succeeds."""


@dataclass(frozen=True)
class Faults:
    """The rules of all projects, in a folder that tests and participants share. One rule a project at a time."""

    folder: Path

    def set(self, project: str, step: str, fault: Fault, direction: Direction = Direction.DO) -> None:
        """From the project's next deployment on."""
        self.folder.mkdir(exist_ok=True)
        self.clear(project)
        beside = self.folder / f"{project}.tmp"
        beside.write_text(json.dumps({"step": step, "fault": fault, "direction": direction}))
        beside.rename(self.folder / f"{project}.rule")

    def clear(self, project: str) -> None:
        """No fault any more; nobody sleeps, nothing happened."""
        for name in ("rule", "fired", "woken", "slept"):
            (self.folder / f"{project}.{name}").unlink(missing_ok=True)

    def wake(self, project: str) -> None:
        """Sleeping workers go on."""
        (self.folder / f"{project}.woken").touch()

    def fired(self, project: str) -> bool:
        """Whether the fault has happened."""
        return (self.folder / f"{project}.fired").exists()

    def answer_after_sleep(self, project: str) -> str | None:
        """The outcome that the woken worker answered with."""
        said = self.folder / f"{project}.slept"
        return said.read_text() if said.exists() else None

    def of(self, command: Command) -> Fault | None:
        """What shall happen to a command."""
        try:
            rule = json.loads((self.folder / f"{command.place.project}.rule").read_text())
        except FileNotFoundError:
            return None
        return Fault(rule["fault"]) if (rule["step"], rule["direction"]) == (command.step, command.direction) else None

    def first(self, command: Command) -> bool:
        """True once: the fault happens now."""
        try:
            (self.folder / f"{command.place.project}.fired").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def note(self, command: Command, outcome: Outcome) -> None:
        """What a woken worker answered."""
        (self.folder / f"{command.place.project}.slept").write_text(outcome)

    async def sleep(self, command: Command) -> None:
        """Until the tests wake it."""
        while not (self.folder / f"{command.place.project}.woken").exists():
            await asyncio.sleep(0.05)


class AnswerLost(Exception):
    """Between the effect and its answer the worker lost its connection."""


_sleeps: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("sleeps", default=None)
_dies: ContextVar[list[int] | None] = ContextVar("dies", default=None)
_ADMITTED = 1
"""Leases that the fence itself takes before a command's first effect."""


class TestedFence(Fence):
    """The real fence; after it has let a command in, its worker may fall asleep, or die after its first effect."""

    __test__ = False

    async def admit(self, command: Command) -> Claim:
        """As the fence does."""
        claim = await super().admit(command)
        if (sleep := _sleeps.get()) is not None:
            await sleep()
        return claim

    def lease(self, place: Place, epoch: int | None = None) -> AbstractAsyncContextManager[None]:
        """As the fence gives it."""
        return self._counted(super().lease(place, epoch))

    @asynccontextmanager
    async def _counted(self, lease: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        async with lease:
            yield
        if (leases := _dies.get()) is not None:
            leases.append(1)
            if len(leases) > _ADMITTED:
                os._exit(1)


class FaultyParticipant(Participant):
    """A participant whose handlers meet the faults that tests ask for."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        bus: Bus,
        handlers: Mapping[type[Command], AnyHandler],
        undos: Mapping[type[Command], AnyHandler] | None = None,
    ) -> None:
        self._faults = Faults(settings.home / "faults")
        self._sleepers: set[asyncio.Task[None]] = set()
        faulty = {command: self._faulty(handler) for command, handler in handlers.items()}
        super().__init__(name, settings, bus, faulty, {command: self._faulty(handler) for command, handler in (undos or {}).items()})

    def _faulty(self, handler: AnyHandler) -> AnyHandler:
        async def handle(command: Command, work: Work) -> Fact:
            match self._faults.of(command):
                case Fault.FAILS:
                    await handler(command, work)
                    self._faults.first(command)
                    raise StepFailure("injected", "the test wants it so")
                case Fault.DENIES:
                    self._faults.first(command)
                    return DeploymentDenied(rule="nobody deploys during tests", reason="the test wants it so")
                case Fault.LOSES:
                    fact = await handler(command, work)
                    if self._faults.first(command):
                        raise AnswerLost
                    return fact
                case Fault.DIES if self._faults.first(command):
                    _dies.set([])
                    await handler(command, work)
                    os._exit(1)
                case Fault.SLEEPS if command.attempt > 1:
                    raise StepFailure("injected", "the test wants it so")
                case _:
                    return await handler(command, work)

        return handle

    async def _work(self, command: Command, raw: Msg, tries: int, came: Delivered) -> Answer | None:
        if self._faults.of(command) not in {Fault.SLEEPS, Fault.OVERSLEEPS} or command.attempt > 1:
            return await super()._work(command, raw, tries, came)
        if self._faults.first(command):
            await self._answers.say(self._answers.form(command, Outcome.ACCEPTED))
            sleeper = asyncio.create_task(self._asleep(command))
            self._sleepers.add(sleeper)
            sleeper.add_done_callback(self._sleepers.discard)
        return None  # neither answered nor acknowledged, and no beat: what is asleep says nothing

    async def _asleep(self, command: Command) -> None:
        work = Work(command, self._bus, self.target)
        if self.name == "deployer":
            _sleeps.set(lambda: self._faults.sleep(command))
        else:
            await self._faults.sleep(command)
        said = await self._result(command, work, asyncio.create_task(self._handle(command, work)))
        await self._answers.say(said)
        self._faults.note(command, said.outcome)
