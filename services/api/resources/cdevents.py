"""The live stream of CDEvents (server-sent events), from what api keeps of them: it goes on also where the bus has lost its stream."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.api.access import Asking
from services.api.dependencies import Using
from services.api.live import news
from services.api.resources.deployments import scopes_of
from services.api.resources.streams import PAGE, LastEventId, position
from services.api.resources.tenure import Tenure
from services.api.store import cdevents
from shared.contracts.cdevents import structured
from shared.messages import Slug

router = APIRouter(tags=["live"])


@router.get("/cdevents/stream", response_class=EventSourceResponse)
async def stream_cdevents(
    request: Request,
    caller: Asking,
    using: Using,
    organization: Slug | None = None,
    project: Slug | None = None,
    environment: Slug | None = None,
    kinds: Annotated[list[str] | None, Query(alias="type", max_length=50, description="Subject and predicate: build.finished")] = None,
    last_event_id: LastEventId = "",
) -> AsyncIterator[ServerSentEvent]:
    """CDEvents of what you may see, each as CloudEvents 1.0 JSON, from now on or from Last-Event-ID (0: all that is kept, 30 days)."""
    at = position(last_event_id)
    at = await cdevents.newest_position(using.pool) if at is None else at
    tenure = Tenure(request, caller, using)
    while await tenure.holds():
        ticket = using.wakeups.ticket()
        rows = await cdevents.find(
            using.pool,
            scopes_of(tenure.caller),
            at,
            PAGE,
            organization=organization or "",
            project=project or "",
            environment=environment or "",
            kinds=kinds,
        )
        for row in rows:
            at = row.position
            yield ServerSentEvent(data=structured(row.body), event="cdevent", id=str(at))
        if not rows:
            await news(ticket)
