"""SQL on tokens."""

# ruff: noqa: S608 -- what is put in are the constant names of columns

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.auth.store import Reader
from shared.postgres import Connection


@dataclass(frozen=True)
class Token:
    """A token as its owner sees it in a list."""

    id: str
    person: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = "id, person, name, prefix, created_at, expires_at, last_used_at, revoked_at"
_ADD = f"""
INSERT INTO tokens (id, person, name, prefix, digest, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval) RETURNING {_COLUMNS}
"""
_OWNER = """
SELECT token.id AS token, person.id, person.name FROM tokens AS token JOIN people AS person ON person.id = token.person
WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND removed_at IS NULL
"""
_BY_ID = f"SELECT {_COLUMNS} FROM tokens WHERE id = $1"
_PAGE = f"SELECT {_COLUMNS} FROM tokens WHERE person = $1 AND id > $2 ORDER BY id LIMIT $3"
_REVOKE = "UPDATE tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL"
_REVOKE_ALL = "UPDATE tokens SET revoked_at = now() WHERE person = $1 AND revoked_at IS NULL"
_USED = """
UPDATE tokens SET last_used_at = GREATEST(last_used_at, used.at)
FROM unnest($1::text[], $2::timestamptz[]) AS used (token, at) WHERE tokens.id = used.token
"""


@dataclass(frozen=True)
class Owner:
    """Whose token it is."""

    token: str
    id: str
    name: str


@dataclass(frozen=True)
class NewToken:
    """A token to be stored; `digest` is all that is kept of its value."""

    id: str
    person: str
    name: str
    prefix: str
    digest: bytes
    lasts: timedelta | None = None


async def add(connection: Connection, token: NewToken) -> Token:
    """Its time begins now, by the database's clock."""
    row = await connection.fetchrow(_ADD, token.id, token.person, token.name, token.prefix, token.digest, token.lasts)
    if row is None:
        raise LookupError(token.id)
    return Token(**row)


async def owner(connection: Reader, digest: bytes) -> Owner | None:
    """None for a token that is unknown, expired, revoked, or of somebody who was removed."""
    row = await connection.fetchrow(_OWNER, digest)
    return Owner(**row) if row else None


async def by_id(connection: Reader, token: str) -> Token | None:
    """A token, valid or not."""
    row = await connection.fetchrow(_BY_ID, token)
    return Token(**row) if row else None


async def page(connection: Reader, person: str, after: str, limit: int) -> list[Token]:
    """The tokens of a person, by id from after `after`; revoked ones too."""
    return [Token(**row) for row in await connection.fetch(_PAGE, person, after, limit)]


async def revoke(connection: Connection, token: str) -> bool:
    """Whether it was valid until now."""
    return await connection.execute(_REVOKE, token) != "UPDATE 0"


async def revoke_all(connection: Connection, person: str) -> None:
    """Ends all tokens of a person."""
    await connection.execute(_REVOKE_ALL, person)


async def write_used(connection: Reader, used: Mapping[str, datetime]) -> None:
    """When each was last used; never back in time."""
    await connection.execute(_USED, list(used), list(used.values()))
