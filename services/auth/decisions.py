"""Who somebody is, what they may, and the answer to "may X do Y to Z"."""

from dataclasses import dataclass

from services.auth.errors import Missing, NotPermitted, Unusable
from services.auth.permissions import Decision, Grant, Resource, decide, may_manage
from services.auth.store import Reader, audit, grants, people, tokens
from services.auth.store.audit import Happening
from shared.contracts.places import EnvironmentKind
from shared.postgres import Connection, Pool


@dataclass(frozen=True)
class Actor:
    """Somebody and all their roles."""

    id: str
    name: str
    grants: tuple[Grant, ...]

    def may(self, action: str, resource: Resource, kind: EnvironmentKind | None = None) -> Decision:
        """The table's decision on this person."""
        return decide(self.name, self.grants, action, resource, kind)

    def must(self, action: str, resource: Resource) -> Decision:
        """As `may`; raises NotPermitted."""
        decision = self.may(action, resource)
        if not decision.allowed:
            raise NotPermitted(decision, self.id, action, str(resource))
        return decision

    def must_manage(self, action: str, other: "Actor") -> Decision:
        """May change the other's tokens, accounts or existence; raises NotPermitted."""
        decision = may_manage(self.name, self.grants, action, other.grants)
        if not decision.allowed:
            raise NotPermitted(decision, self.id, action, f"person/{other.id}")
        return decision


async def actor(connection: Reader, person: str) -> Actor | None:
    """A person by id, None where there is none (any more)."""
    found = await people.by_id(connection, person)
    if found is None:
        return None
    return Actor(found.id, found.name, (await grants.of(connection, [person]))[person])


async def acting(connection: Connection, by: str) -> Actor:
    """Whoever asks for a change; raises Unusable where `by` names nobody."""
    found = await actor(connection, by)
    if found is None:
        raise Unusable(f"{by!r} is no person; a change needs the id of the person who makes it.")
    return found


async def existing(connection: Connection, person: str) -> Actor:
    """The person that a change is about, locked until the transaction ends; raises Missing."""
    found = await people.lock(connection, person)
    if found is None:
        raise Missing(f"There is no person {person!r}.")
    return Actor(found.id, found.name, (await grants.of(connection, [person]))[person])


async def asking(connection: Reader, subject: str) -> Actor | None:
    """The person who a subject is: a person's id, or that of a token."""
    found = await actor(connection, subject)
    if found is None and (token := await tokens.by_id(connection, subject)) is not None:
        return None if token.revoked_at else await actor(connection, token.person)
    return found


async def check(pool: Pool, subject: str, action: str, resource: Resource, kind: EnvironmentKind | None) -> Decision:
    """Decide by the table of permissions. A denial is in the audit log when this returns."""
    found = await asking(pool, subject)
    decision = found.may(action, resource, kind) if found else Decision(allowed=False, rule=f"{subject or 'nobody'} is no person here")
    if not decision.allowed:
        happening = Happening(subject, action, str(resource), allowed=False, rule=decision.rule, organization=resource.organization)
        async with pool.acquire() as connection, connection.transaction():
            await audit.add(connection, happening)
    return decision
