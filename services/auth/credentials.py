"""Tokens: made, listed, revoked, and presented."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.auth import tokens as form
from services.auth.decisions import Actor, acting, actor, existing
from services.auth.errors import Missing, NotPermitted, Unauthenticated, Unusable
from services.auth.permissions import Decision
from services.auth.store import audit, tokens
from services.auth.store.audit import Happening
from services.auth.store.tokens import NewToken, Token
from shared.messages import new_id, utc_now
from shared.postgres import UNAVAILABLE, Connection, Pool

WRITE_USED_S = 10.0
"""How much later than the use itself "last used" is written: one statement for all of them."""
LONGEST = timedelta(days=3650)


async def create(pool: Pool, person: str, name: str, lasts: timedelta | None, by: str) -> tuple[Token, str]:
    """A new token and its plain value, which is nowhere else. For oneself, or as an admin for others."""
    if lasts is not None and not timedelta(0) < lasts <= LONGEST:
        raise Unusable(f"A token lasts between a second and {LONGEST.days} days, or without end.")
    if not name.strip():
        raise Unusable("A token needs a name, by which it is recognised in the list.")
    async with pool.acquire() as connection, connection.transaction():
        decision = _may(await acting(connection, by), "token.create", await existing(connection, person))
        token, plain = await issue(connection, person, name.strip(), lasts)
        await audit.add(connection, _done(by, "token.create", token, decision))
    return token, plain


async def list_tokens(pool: Pool, person: str, after: str, limit: int, by: str) -> list[Token]:
    """A page of somebody's tokens, by id; revoked ones too. For oneself, or for whoever may make tokens for them."""
    async with pool.acquire() as connection, connection.transaction():
        _may(await acting(connection, by), "token.create", await existing(connection, person))
        return await tokens.page(connection, person, after, limit)


async def issue(connection: Connection, person: str, name: str, lasts: timedelta | None = None) -> tuple[Token, str]:
    """Makes a token in the caller's transaction, without asking whether somebody may."""
    plain = form.mint()
    new = NewToken(new_id(), person, name, form.shown(plain), form.digest(plain), lasts)
    return await tokens.add(connection, new), plain


async def revoke(pool: Pool, token_id: str, by: str) -> None:
    """Ends a token at once; one that has ended already stays so."""
    async with pool.acquire() as connection, connection.transaction():
        caller = await acting(connection, by)
        token = await tokens.by_id(connection, token_id)
        if token is None:
            raise Missing(f"There is no token {token_id!r}.")
        owner = await actor(connection, token.person)
        decision = _may(caller, "token.revoke", owner or Actor(token.person, "somebody who left", ()))
        if await tokens.revoke(connection, token_id):
            await audit.add(connection, _done(by, "token.revoke", token, decision))


def _may(caller: Actor, action: str, owner: Actor) -> Decision:
    if caller.id == owner.id:
        return Decision(allowed=True, rule="everybody may make and revoke their own tokens", grant=next(iter(caller.grants), None))
    try:
        return caller.must_manage(action, owner)
    except NotPermitted as denial:
        raise denial from None


def _done(by: str, action: str, token: Token, decision: Decision) -> Happening:
    organization = decision.grant.resource.organization if decision.grant else ""
    details = f"{token.name} ({token.prefix}…) of person {token.person}"
    return Happening(by, action, f"token/{token.id}", allowed=True, rule=decision.rule, details=details, organization=organization)


@dataclass(frozen=True)
class Authenticated:
    """Who presented a token."""

    actor: Actor
    token: str


class Gate:
    """Recognises tokens, and remembers when each was last used."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._used: dict[str, datetime] = {}

    async def authenticate(self, plain: str) -> Authenticated:
        """Whose token it is; raises Unauthenticated, without saying which of the reasons it was."""
        owner = await tokens.owner(self._pool, form.digest(plain)) if form.is_well_formed(plain) else None
        found = await actor(self._pool, owner.id) if owner else None
        if owner is None or found is None:
            raise Unauthenticated("This token is unknown, expired or revoked.")
        self._used[owner.token] = utc_now()
        return Authenticated(found, owner.token)

    async def write_used(self) -> None:
        """Writes when tokens were used since the last call."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await tokens.write_used(self._pool, used)
        except UNAVAILABLE:
            self._used = used | self._used
            raise

    async def run(self) -> None:
        """Writes every few seconds, and once more at the end; a database that is away is asked again next time."""
        try:
            while True:
                await asyncio.sleep(WRITE_USED_S)
                try:
                    await self.write_used()
                except UNAVAILABLE:
                    continue  # nothing is lost: what was not written is kept for the next round
        finally:
            await self.write_used()
