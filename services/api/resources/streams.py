"""Live streams (server-sent events). Each reads the archive at its reader's own speed, so nothing piles up and nothing is left out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from services.api.access import Asking
from services.api.dependencies import Parts, Using
from services.api.filters import OfPlace
from services.api.live import news
from services.api.projection import FINAL
from services.api.resources.deployments import permitted, scopes_of
from services.api.resources.tenure import Tenure
from services.api.store import archive, logs
from services.api.store.archive import Archived, Scopes
from services.api.store.logs import LogLine
from services.api.store.places import Reads

router = APIRouter(tags=["live"])

PAGE = 500
_FURTHEST = 2**63 - 1
"""The largest position that there can be."""
LAST_LINES_S = 0.4
"""How long the stream of an ended deployment waits for lines that come after its last event."""

LastEventId = Annotated[str, Header(description="Where to go on", max_length=60)]


async def _visible(deployment: str, caller: Asking, using: Using) -> str:
    """Refused before the stream begins: once it has, there is no status any more."""
    await permitted(caller, "event.read", using.pool, deployment)
    return deployment


Visible = Annotated[str, Depends(_visible)]


class Positioned(Protocol):
    """What has a position in what api keeps: larger is later."""

    @property
    def position(self) -> int:
        """Positive."""
        ...


S = TypeVar("S", bound=Positioned)


class Line(BaseModel):
    """A log line in a stream."""

    step: str
    direction: str
    attempt: int
    number: int
    time: str
    text: str


class End(BaseModel):
    """The last thing in a deployment's stream."""

    state: str


@router.get("/deployments/{deployment}/stream", response_class=EventSourceResponse)  # noqa: FAST003 -- Visible reads it
async def stream_deployment(
    visible: Visible, request: Request, caller: Asking, using: Using, last_event_id: LastEventId = ""
) -> AsyncIterator[ServerSentEvent]:
    """Its events (`event`) and log lines (`log`) from the start, or from Last-Event-ID; closes with `end`."""
    event_at, line_at = _positions(last_event_id)
    tenure = Tenure(request, caller, using, visible)
    ended_since: float | None = None
    while await tenure.holds():
        ticket = using.wakeups.ticket()
        page = await archive.deployment(using.pool, visible)
        events = await archive.events_of(using.pool, visible, event_at, PAGE)
        lines = await logs.find(using.pool, visible, "", line_at, PAGE)
        for item in _merged(events, lines):
            if isinstance(item, Archived):
                event_at = item.position
                yield ServerSentEvent(data=archive.as_json(item.event), event="event", id=f"{event_at}-{line_at}")
            else:
                line_at = item.position
                yield ServerSentEvent(data=_line(item), event="log", id=f"{event_at}-{line_at}")
        if events or lines:
            ended_since = None
            continue
        if page is not None and page.state in FINAL:
            now = asyncio.get_running_loop().time()
            ended_since = ended_since or now
            if now - ended_since >= LAST_LINES_S:
                yield ServerSentEvent(data=End(state=page.state), event="end", id=f"{event_at}-{line_at}")
                return
            await news(ticket, LAST_LINES_S)
            continue
        await news(ticket)


def beginning(newest: Callable[[Reads], Awaitable[int]]) -> Callable[[Parts, str], Awaitable[int]]:
    """A dependency: the position after Last-Event-ID, or the newest that there is."""

    async def begin(using: Using, last_event_id: LastEventId = "") -> int:
        at = position(last_event_id)
        return await newest(using.pool) if at is None else at

    return begin


@router.get("/events/stream", response_class=EventSourceResponse)
async def stream_events(
    request: Request,
    caller: Asking,
    using: Using,
    after: Annotated[int, Depends(beginning(archive.newest_position))],
    place: OfPlace,
    names: Annotated[list[str] | None, Query(alias="name", max_length=50)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Events of what you may see, from now on or from Last-Event-ID (a position of the archive; 0 is its start)."""

    async def find(scopes: Scopes, at: int) -> Sequence[Archived]:
        return await archive.events(using.pool, scopes, at, PAGE, **place, names=names)

    def told(row: Archived) -> ServerSentEvent:
        return ServerSentEvent(data=archive.as_json(row.event), event="event", id=str(row.position))

    async for event in followed(Tenure(request, caller, using), using, after, archive.newest_position, find, told):
        yield event


async def followed(
    tenure: Tenure,
    using: Parts,
    after: int,
    newest: Callable[[Reads], Awaitable[int]],
    find: Callable[[Scopes, int], Awaitable[Sequence[S]]],
    told: Callable[[S], ServerSentEvent],
) -> AsyncIterator[ServerSentEvent]:
    """What is stored after that position, as it comes, for as long as the reader may read it.

    Where "now" is has to be known before the stream begins: who has its headers misses nothing of what happens from then on.
    """
    while await tenure.holds():
        ticket = using.wakeups.ticket()
        end = await newest(using.pool)  # Known before it is looked at: what comes meanwhile may be overlooked, but is not passed over.
        rows = await find(scopes_of(tenure.caller), after)
        for row in rows:
            after = row.position
            yield told(row)
        if not rows:
            after = max(after, end)
            await news(ticket)


def position(last_event_id: str) -> int | None:
    """Where a reader goes on; None where it does not say, or what it says is no position."""
    return min(int(last_event_id), _FURTHEST) if last_event_id.isdecimal() else None


def _positions(last_event_id: str) -> tuple[int, int]:
    event_at, _, line_at = last_event_id.partition("-")
    return position(event_at) or 0, position(line_at) or 0


def _merged(events: Sequence[Archived], lines: Sequence[LogLine]) -> list[Archived | LogLine]:
    """By time. Events after the last line of a full page wait for the next page."""
    if len(lines) == PAGE:
        events = [item for item in events if item.event.time <= lines[-1].time]
    # Each kind keeps its own order, because a stream goes on by position: a time never runs backwards within it.
    merged: list[Archived | LogLine] = []
    waiting = list(lines)
    for item in events:
        while waiting and waiting[0].time < item.event.time:
            merged.append(waiting.pop(0))
        merged.append(item)
    return merged + waiting


def _line(line: LogLine) -> Line:
    return Line(
        step=line.step,
        direction=line.direction,
        attempt=line.attempt,
        number=line.number,
        time=line.time.isoformat(),
        text=line.text,
    )
