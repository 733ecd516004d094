"""SQL on people and their accounts on forges."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.auth.identities import Identity, fold
from services.auth.store import Reader
from shared.postgres import Connection


@dataclass(frozen=True)
class Person:
    """Somebody, as stored."""

    id: str
    name: str
    email: str


_ADD = "INSERT INTO people (id, name, email) VALUES ($1, $2, $3)"
_BY_ID = "SELECT id, name, email FROM people WHERE id = $1 AND removed_at IS NULL"
_LOCK = _BY_ID + " FOR UPDATE"
_LIST = """
SELECT id, name, email FROM people AS person
WHERE removed_at IS NULL AND id > $2
  AND ($1 = '' OR EXISTS (SELECT FROM grants WHERE grants.person = person.id AND organization = $1))
ORDER BY id LIMIT $3
"""
_REMOVE = "UPDATE people SET removed_at = now() WHERE id = $1"
_IDENTITIES_OF = """
SELECT person, forge, login, account_id FROM identities WHERE person = ANY($1::text[]) ORDER BY created_at, forge, login
"""
_CANDIDATES = """
SELECT person, forge, login, account_id FROM identities
WHERE forge = $1 AND (($2 <> '' AND login_folded = $2) OR ($3 <> '' AND account_id = $3))
"""
_LINK = "INSERT INTO identities (person, forge, login, login_folded, account_id) VALUES ($1, $2, $3, $4, $5)"
_UNLINK = """
DELETE FROM identities
WHERE person = $1 AND forge = $2 AND ($3 = '' OR login_folded = $3) AND ($4 = '' OR account_id = $4)
"""
_FREE_LOGIN = """
UPDATE identities SET login = '', login_folded = '' WHERE forge = $1 AND login_folded = $2 AND account_id NOT IN ('', $3)
"""
_LEARN = """
UPDATE identities SET account_id = $4
WHERE person = $1 AND forge = $2 AND login_folded = $3 AND account_id = ''
  AND NOT EXISTS (SELECT FROM identities AS other WHERE other.forge = $2 AND other.account_id = $4)
"""
_UNLINK_ALL = "DELETE FROM identities WHERE person = $1"


async def add(connection: Connection, person: Person) -> None:
    """Somebody new."""
    await connection.execute(_ADD, person.id, person.name, person.email)


async def by_id(connection: Reader, person: str) -> Person | None:
    """Somebody who was not removed."""
    row = await connection.fetchrow(_BY_ID, person)
    return Person(**row) if row else None


async def lock(connection: Connection, person: str) -> Person | None:
    """As `by_id`; nobody else changes them until the transaction ends."""
    row = await connection.fetchrow(_LOCK, person)
    return Person(**row) if row else None


async def page(connection: Reader, organization: str, after: str, limit: int) -> list[Person]:
    """Those with a role in an organization (empty: everybody), by id from after `after`."""
    return [Person(**row) for row in await connection.fetch(_LIST, organization, after, limit)]


async def remove(connection: Connection, person: str) -> None:
    """The row stays, for the audit log; the accounts are free for others."""
    await connection.execute(_UNLINK_ALL, person)
    await connection.execute(_REMOVE, person)


async def identities_of(connection: Reader, people: Sequence[str]) -> list[Identity]:
    """All their accounts, the oldest link first."""
    return [Identity(**row) for row in await connection.fetch(_IDENTITIES_OF, list(people))]


async def candidates(connection: Reader, forge: str, login: str, account_id: str) -> list[Identity]:
    """The identities that an account may be; `owner_of` says which."""
    return [Identity(**row) for row in await connection.fetch(_CANDIDATES, forge, fold(login), account_id)]


async def link(connection: Connection, identity: Identity) -> None:
    """Raises asyncpg.UniqueViolationError where the account is somebody's.

    A login whose former account is known by another id is taken from it: that account gave the login up.
    """
    folded = fold(identity.login)
    if identity.account_id:
        await connection.execute(_FREE_LOGIN, identity.forge, folded, identity.account_id)
    await connection.execute(_LINK, identity.person, identity.forge, identity.login, folded, identity.account_id)


async def unlink(connection: Connection, identity: Identity) -> bool:
    """Whether there was such an account of that person."""
    folded = fold(identity.login)
    done = await connection.execute(_UNLINK, identity.person, identity.forge, folded, identity.account_id)
    return done != "DELETE 0"


async def learn_account(connection: Connection, identity: Identity, account_id: str) -> bool:
    """Keeps the id of an account that was linked by its login alone; whether it was news."""
    folded = fold(identity.login)
    done = await connection.execute(_LEARN, identity.person, identity.forge, folded, account_id)
    return done != "UPDATE 0"
