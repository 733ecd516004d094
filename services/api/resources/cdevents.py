"""The live stream of CDEvents (server-sent events), from what api keeps of them: it goes on also where the bus has lost its stream."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.api.access import Asking
from services.api.dependencies import Using
from services.api.filters import OfPlace
from services.api.resources.streams import PAGE, beginning, followed
from services.api.resources.tenure import Tenure
from services.api.store import cdevents
from services.api.store.archive import Scopes
from services.api.store.cdevents import Stored
from shared.contracts.cdevents import structured

router = APIRouter(tags=["live"])


@router.get("/cdevents/stream", response_class=EventSourceResponse)
async def stream_cdevents(
    request: Request,
    caller: Asking,
    using: Using,
    after: Annotated[int, Depends(beginning(cdevents.newest_position))],
    place: OfPlace,
    kinds: Annotated[list[str] | None, Query(alias="type", max_length=50, description="Subject and predicate: build.finished")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """CDEvents of what you may see, each as CloudEvents 1.0 JSON, from now on or from Last-Event-ID (0: all that is kept, 30 days)."""

    async def find(scopes: Scopes, at: int) -> Sequence[Stored]:
        return await cdevents.find(using.pool, scopes, at, PAGE, **place, kinds=kinds)

    def told(row: Stored) -> ServerSentEvent:
        return ServerSentEvent(data=structured(row.body), event="cdevent", id=str(row.position))

    async for event in followed(Tenure(request, caller, using), using, after, cdevents.newest_position, find, told):
        yield event
