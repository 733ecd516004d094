"""Tokens: shown once, kept as a hash by auth."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.api.access import Asking
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from services.api.resources.organizations import DisplayName
from services.api.transaction import TransactionalRoute, Within
from shared.proto import auth_pb2 as pb
from shared.rpc import CALL_S

router = APIRouter(tags=["tokens"], route_class=TransactionalRoute)


class Token(BaseModel):
    """A token without itself; times are RFC 3339, null where it never happened."""

    id: str
    person: str
    name: str
    prefix: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class NewToken(BaseModel):
    """For yourself where no person is named."""

    name: DisplayName
    person: str | None = Field(default=None, max_length=64)
    expires_in_s: int = Field(default=0, ge=0, description="0: never")


class CreatedToken(Token):
    """The token itself is in this answer only."""

    plain: str


class Me(BaseModel):
    """Who you are."""

    id: str
    name: str
    roles: list[str]
    """Resources on which you have a role."""


def _fields(found: pb.Token) -> dict[str, str | None]:
    return {
        "id": found.id,
        "person": found.person,
        "name": found.name,
        "prefix": found.prefix,
        "created_at": found.created_at,
        "expires_at": found.expires_at or None,
        "last_used_at": found.last_used_at or None,
        "revoked_at": found.revoked_at or None,
    }


@router.get("/me")
async def who_am_i(caller: Asking) -> Me:
    """Whose token this is."""
    return Me(id=caller.id, name=caller.name, roles=sorted(caller.resources))


@router.get("/tokens")
async def list_tokens(window: Paged, caller: Asking, using: Using, person: Annotated[str, Query(max_length=64)] = "") -> Page[Token]:
    """Your tokens, or those of somebody for whom you may make some."""
    request = pb.ListTokensRequest(person=person or caller.id, after=window.after, limit=window.limit, by=caller.id)
    found = await using.auth.stub.ListTokens(request, timeout=CALL_S)
    return Page(items=[Token.model_validate(_fields(token)) for token in found.tokens], next=found.next or None)


@router.post("/tokens", status_code=201)
async def create_token(wanted: NewToken, caller: Asking, using: Using, unit: Within) -> CreatedToken:
    """Makes a token."""
    await unit.begin_if_keyed()
    request = pb.CreateTokenRequest(person=wanted.person or caller.id, name=wanted.name, expires_in_s=wanted.expires_in_s, by=caller.id)
    made = await using.auth.stub.CreateToken(request, timeout=CALL_S)
    return CreatedToken.model_validate({**_fields(made.token), "plain": made.plain})


@router.delete("/tokens/{token}", status_code=204)
async def revoke_token(token: str, caller: Asking, using: Using) -> None:
    """It is worth nothing from now on."""
    await using.auth.stub.RevokeToken(pb.RevokeTokenRequest(id=token, by=caller.id), timeout=CALL_S)
