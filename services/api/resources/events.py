"""The archive of events, and of attempts to tell somebody."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.api.access import Asking
from services.api.dependencies import Using
from services.api.filters import OfPlace
from services.api.paging import Page, Paged
from services.api.resources.deployments import scopes_of
from services.api.store import archive
from shared.contracts.events import Event, NotificationAttempted
from shared.messages import Slug

router = APIRouter(prefix="/events", tags=["events"])


class ArchivedEvent(BaseModel):
    """An event and its position in the archive, which grows with time."""

    position: int
    event: Event


Names = Annotated[list[str] | None, Query(alias="name", description="Names of facts: ImageBuilt, …", max_length=50)]


@router.get("")
async def list_events(
    window: Paged,
    caller: Asking,
    using: Using,
    place: OfPlace,
    names: Names = None,
) -> Page[ArchivedEvent]:
    """Events of what you may see, the oldest first; `after` is a position."""
    rows = await archive.events(
        using.pool,
        scopes_of(caller),
        window.position,
        window.fetch,
        **place,
        names=names,
    )
    shown = [ArchivedEvent(position=row.position, event=row.event) for row in rows]
    return Page.of(shown, window, lambda row: row.position)


@router.get("/attempts/{organization}")
async def list_attempts(
    organization: Slug, window: Paged, caller: Asking, using: Using, channel: Slug | None = None
) -> Page[ArchivedEvent]:
    """Every attempt to tell somebody: delivered or not, and why; the oldest first."""
    rows = await archive.events(
        using.pool,
        scopes_of(caller),
        window.position,
        window.fetch,
        organization=organization,
        names=[NotificationAttempted.__name__],
    )
    page = Page.of(rows, window, lambda row: row.position)
    shown = [row for row in page.items if channel is None or row.event.data.get("channel") == channel]
    return Page(items=[ArchivedEvent(position=row.position, event=row.event) for row in shown], next=page.next)
