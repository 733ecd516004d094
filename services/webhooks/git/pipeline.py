"""What became of a push, as lines for its pusher, while it happens."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from services.webhooks.git.streams import follow
from shared.bus import Bus
from shared.contracts.events import ChangeIgnored, ChangeTaken, DeploymentCreated, Event
from shared.contracts.facts import Fact, UnknownFact
from shared.contracts.logs import LogLines
from shared.narration import Line, LineKind, Narrator
from shared.plain import PlainText

TICK_S = 0.5
GAP_S = 2.0
"""How long a missing event is waited for, before the story goes on without it."""
SILENT_S = 15.0
"""After so long without a line there is a sign of life."""
UNANSWERED_S = 300.0
LONGEST_S = 2 * 3600.0
AHEAD = 100
"""How many messages are read before a pusher has read their lines: the others stay in their stream."""


@dataclass
class _Told:
    """One deployment's narration. Lines wait here until the deployments before it have ended."""

    narrator: Narrator
    waiting: list[Line] = field(default_factory=list)
    gap_since: float | None = None

    @property
    def over(self) -> bool:
        return self.narrator.ended or self.narrator.waits_for_people


class Story:
    """Turns events and log lines into text. Pure but for the clock that it is given."""

    def __init__(self, changes: Mapping[str, str], now: float) -> None:
        self._open = dict(changes)
        """Changes that are not settled, and the branch of each."""
        self._told: dict[str, _Told] = {}
        self._early: dict[str, list[Event]] = defaultdict(list)
        self._plain = PlainText()
        self._said_at = self._began = now

    @property
    def over(self) -> bool:
        """Whether nothing more is to be told."""
        return not self._open and all(told.over for told in self._told.values())

    @property
    def deployments(self) -> tuple[str, ...]:
        """Those that the changes led to, as far as is known."""
        return tuple(self._told)

    def event(self, event: Event, now: float) -> Iterator[str]:
        """An event of the project."""
        try:
            fact: Fact | None = event.fact()
        except (UnknownFact, ValueError):
            fact = None
        yield from self._settled(fact, now)
        if isinstance(fact, DeploymentCreated) and fact.change in self._open and event.deployment:
            self._begin(event.deployment)
        if event.deployment in self._told:
            told = self._told[event.deployment]
            told.waiting += told.narrator.event(event)
        elif event.deployment:
            self._early[event.deployment].append(event)
        yield from self._draw(now)

    def log_lines(self, lines: LogLines, now: float) -> Iterator[str]:
        """Log lines of one of the deployments."""
        told = self._told.get(lines.deployment or "")
        if told is not None:
            told.waiting += told.narrator.log_lines(lines)
        yield from self._draw(now)

    def tick(self, now: float) -> Iterator[str]:
        """Time has passed: gaps that last are skipped, and silence is broken."""
        for told in self._told.values():
            if not told.narrator.has_gap:
                told.gap_since = None
            elif told.gap_since is None:
                told.gap_since = now
            elif now - told.gap_since > GAP_S:
                told.waiting += told.narrator.skip_gap()
                told.gap_since = None
        yield from self._draw(now)
        if now - self._said_at >= SILENT_S:
            yield from self._heard(self._sign_of_life(now), now)

    def leave(self, reason: str) -> Iterator[str]:
        """The end of telling, not of what is told."""
        yield ""
        yield f"  {reason}"
        for deployment, told in self._told.items():
            if not told.narrator.ended:
                yield f"    → slipway explain {deployment}"

    def _settled(self, fact: Fact | None, now: float) -> Iterator[str]:
        match fact:
            case ChangeTaken() if fact.change in self._open:
                for deployment in fact.deployments:
                    self._begin(deployment)
                del self._open[fact.change]
            case ChangeIgnored() if fact.change in self._open:
                branch = self._open.pop(fact.change)
                yield from self._heard([f"  {branch}: nothing to deploy, {fact.reason}"], now)

    def _begin(self, deployment: str) -> None:
        if deployment in self._told:
            return
        told = self._told[deployment] = _Told(Narrator(deployment))
        for event in self._early.pop(deployment, ()):
            told.waiting += told.narrator.event(event)

    def _draw(self, now: float) -> Iterator[str]:
        """One deployment after the other: those behind wait with what they have."""
        for told in self._told.values():
            lines, told.waiting = told.waiting, []
            yield from self._heard((text for line in lines for text in self._plain.draw(line, now)), now)
            if not told.over:
                return

    def _sign_of_life(self, now: float) -> Iterator[str]:
        if not self._told:
            yield f"  … waits for the coordinator ({now - self._began:.0f}s); the push is kept"
            return
        working = list(self._plain.waiting(now, SILENT_S / 2))
        yield from working or self._plain.draw(Line(LineKind.WAITING, "goes on"), now)

    def _heard(self, texts: Iterable[str], now: float) -> Iterator[str]:
        for text in texts:
            self._said_at = now
            yield text


class Pipeline:
    """Follows deployments on the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """At the end, every telling ends with a word about it."""
        try:
            yield
        finally:
            self._closing.set()

    async def tell(self, organization: str, project: str, changes: Mapping[str, str], gone: asyncio.Event) -> AsyncIterator[str]:
        """Lines until all that the changes led to has ended, the pusher is gone, or it takes too long."""
        began = time.monotonic()
        story = Story(changes, began)
        heard: asyncio.Queue[Event | LogLines] = asyncio.Queue(AHEAD)
        async with _Listeners(self._bus, heard) as listeners:
            listeners.events(organization, project)
            while not story.over and not gone.is_set():
                now = time.monotonic()
                if reason := self._reason_to_leave(story, now - began):
                    for line in story.leave(reason):
                        yield line
                    return
                for line in await _next(heard, story):
                    yield line
                for deployment in story.deployments:
                    listeners.logs(deployment)

    def _reason_to_leave(self, story: Story, waited: float) -> str:
        if self._closing.is_set():
            return "Slipway is being restarted. What was begun goes on."
        if not story.deployments and waited > UNANSWERED_S:
            return "The coordinator does not answer. The push is kept, and is deployed as soon as it does."
        if waited > LONGEST_S:
            return "This takes very long; it goes on."
        return ""


async def _next(heard: "asyncio.Queue[Event | LogLines]", story: Story) -> list[str]:
    """The lines of the next thing heard, or of a moment without any."""
    try:
        async with asyncio.timeout(TICK_S):
            message = await heard.get()
    except TimeoutError:
        return list(story.tick(time.monotonic()))
    now = time.monotonic()
    return list(story.event(message, now) if isinstance(message, Event) else story.log_lines(message, now))


class _Listeners:
    """The tasks of one pusher that read EVENTS and LOGS into one queue, and wait while it is full."""

    def __init__(self, bus: Bus, heard: "asyncio.Queue[Event | LogLines]") -> None:
        self._bus = bus
        self._heard = heard
        self._began = time.monotonic()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Told again and again: where an answer comes at that very moment, `asyncio.wait_for` (in the bus's client) forgets it."""
        left = set(self._tasks.values())
        while left:
            for task in left:
                task.cancel()
            left = (await asyncio.wait(left, timeout=TICK_S))[1]
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def events(self, organization: str, project: str) -> None:
        """Listens to the events of a project."""
        self._tasks[""] = asyncio.create_task(self._read_events(f"slipway.evt.{organization}.{project}.>"))

    def logs(self, deployment: str) -> None:
        """Listens to the log of a deployment, once."""
        if deployment not in self._tasks:
            self._tasks[deployment] = asyncio.create_task(self._read_logs(f"slipway.log.*.{deployment}.*"))

    async def _read_events(self, subject: str) -> None:
        async for message in follow(self._bus, "EVENTS", subject, self._began):
            with suppress(ValueError):  # of a newer version
                await self._heard.put(Event.decode(message.data))

    async def _read_logs(self, subject: str) -> None:
        async for message in follow(self._bus, "LOGS", subject, self._began):
            with suppress(ValueError):
                await self._heard.put(LogLines.decode(message.data))
