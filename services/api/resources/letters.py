"""Dead letters: messages that a service gave up. An admin looks at them, has them sent again, or drops them."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel

from services.api.access import Asking, Caller, of_organization
from services.api.concealing import concealed, headers_shown, in_addresses
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.refusals import not_found
from services.api.store import letters
from services.api.store.letters import Letter
from services.api.transaction import TransactionalRoute, Unit, Within
from shared.letters import again
from shared.problems import Problem

State = Literal["dead", "retried", "dropped"]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]

router = APIRouter(prefix="/deadletters", tags=["deadletters"], route_class=TransactionalRoute)


class LetterPage(BaseModel):
    """A message that a service gave up. `dead`: waits for a person; `retried`: sent again, and not given up again; `dropped`.

    `durable` is the reader that gave it up, `obstacle` why it cannot be sent again (empty where it can).
    """

    position: int
    service: str
    durable: str
    subject: str
    type: str
    reason: str
    state: State
    times: int
    retries: int
    obstacle: str
    received_at: datetime
    last_at: datetime
    decided_by: str | None
    decided_at: datetime | None

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """As people see it."""
        shown = {name: getattr(letter, name) for name in cls.model_fields if name not in ("type", "reason")}
        return cls.model_validate({**shown, "type": letter.headers.get("ce-type", ""), "reason": in_addresses(letter.reason)})


class WholeLetter(LetterPage):
    """With the message itself. What could be a secret in it is not shown."""

    headers: dict[str, str]
    body: str

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """As people see it."""
        page = LetterPage.of(letter).model_dump()
        return cls.model_validate({**page, "headers": headers_shown(letter.headers), "body": concealed(letter.body)})


@router.get("")
async def list_dead_letters(window: Paged, caller: Asking, using: Using, state: State | None = None) -> Page[LetterPage]:
    """Messages that a service gave up, with the reason, the oldest first; with `state` those only."""
    await caller.may("deadletter.read", of_organization(using.settings.organization))
    rows = await letters.find(using.pool, state or "", window.position, window.fetch)
    return Page.of([LetterPage.of(row) for row in rows], window, lambda row: row.position)


@router.get("/{letter}")
async def get_dead_letter(letter: Number, caller: Asking, using: Using) -> WholeLetter:
    """One of them, with its message."""
    await caller.may("deadletter.read", of_organization(using.settings.organization))
    found = await letters.get(using.pool, letter)
    if found is None:
        raise not_found("dead letter", str(letter))
    return WholeLetter.of(found)


@router.post("/{letter}/retry", status_code=202)
async def retry_dead_letter(letter: Number, caller: Asking, unit: Within) -> LetterPage:
    """Has its message sent again, to the reader that gave it up and to no other."""
    await caller.may("deadletter.retry", of_organization(unit.parts.settings.organization))
    found = await _decidable(unit, letter)
    if found.obstacle:
        raise Problem(409, "not-retriable", f"Dead letter {letter} cannot be sent again: {found.obstacle}.")
    await unit.send_as(again(found.headers, found.body, found.position, found.retries + 1))
    return await _decide(unit, caller, found, "retried", "deadletter.retry")


@router.post("/{letter}/drop")
async def drop_dead_letter(letter: Number, caller: Asking, unit: Within) -> LetterPage:
    """Gives it up for good. It stays to be seen, as dropped."""
    await caller.may("deadletter.drop", of_organization(unit.parts.settings.organization))
    return await _decide(unit, caller, await _decidable(unit, letter), "dropped", "deadletter.drop")


async def _decidable(unit: Unit, letter: int) -> Letter:
    found = await letters.lock(await unit.begin(), letter)
    if found is None:
        raise not_found("dead letter", str(letter))
    if found.state == "dropped":
        raise Problem(409, "dropped", f"Dead letter {letter} was dropped at {found.decided_at:%Y-%m-%d %H:%M} UTC.")
    return found


async def _decide(unit: Unit, caller: Caller, letter: Letter, state: State, action: str) -> LetterPage:
    await letters.decided(unit.connection, letter.position, state, caller.id)
    details = f"{letter.position}: {letter.durable} {letter.subject}"
    await unit.audit(caller, action, of_organization(unit.parts.settings.organization), details)
    after = await letters.get(unit.connection, letter.position)
    assert after is not None
    return LetterPage.of(after)
