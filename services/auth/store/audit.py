"""SQL on the audit log. Entries are only ever added, at the end of their organization's chain."""

# ruff: noqa: S608 -- what is put in are the constant names of columns

from dataclasses import dataclass

import asyncpg

from services.auth.audit import START, Entry, Link, chain_hash
from services.auth.store import Reader
from shared.messages import NONE, new_id, utc_now
from shared.postgres import Connection


@dataclass(frozen=True)
class Happening:
    """What is to be remembered."""

    subject: str
    """Person, or who it claimed to be."""
    action: str
    resource: str
    allowed: bool
    rule: str
    details: str = ""
    organization: str = ""
    key: str | None = None
    """What makes it the same happening when it is told twice."""


_COLUMNS = "id, time, organization, number, subject, action, resource, allowed, rule, details, hash"
_HEAD = "INSERT INTO audit_heads (organization, number, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING"
_LOCK = "SELECT number, hash FROM audit_heads WHERE organization = $1 FOR UPDATE"
_KNOWN = "SELECT EXISTS (SELECT FROM audit WHERE key = $1)"
_ADD = f"""
INSERT INTO audit ({_COLUMNS}, key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_MOVE = "UPDATE audit_heads SET number = $2, hash = $3 WHERE organization = $1"
_PAGE = f"""
SELECT {_COLUMNS}, position FROM audit
WHERE ($1 = '' OR organization = $1) AND ($2::bigint IS NULL OR position < $2) ORDER BY position DESC LIMIT $3
"""
_CHAIN = f"SELECT {_COLUMNS} FROM audit WHERE organization = $1 ORDER BY number"


async def add(connection: Connection, happening: Happening) -> None:
    """Adds an entry in the caller's transaction; one whose key is known already adds nothing.

    Holds the organization's chain until the transaction ends, so call it last.
    """
    organization = happening.organization or NONE
    await connection.execute(_HEAD, organization, START)
    head = await connection.fetchrow(_LOCK, organization)
    if head is None:
        raise LookupError(organization)
    if happening.key is not None and await connection.fetchval(_KNOWN, happening.key):
        return
    entry = Entry(
        id=new_id(),
        time=utc_now(),
        organization=organization,
        number=head["number"] + 1,
        subject=happening.subject,
        action=happening.action,
        resource=happening.resource,
        allowed=happening.allowed,
        rule=happening.rule,
        details=happening.details,
    )
    linked = chain_hash(head["hash"], entry)
    fields = [getattr(entry, name) for name in Entry.__dataclass_fields__]
    await connection.execute(_ADD, *fields, linked, happening.key)
    await connection.execute(_MOVE, organization, entry.number, linked)


async def page(connection: Reader, organization: str, before: int | None, limit: int) -> list[tuple[int, Entry]]:
    """The newest entries first, each with its position; `before` is the position where the last page ended."""
    rows = await connection.fetch(_PAGE, organization, before, limit)
    return [(row["position"], _link(row).entry) for row in rows]


async def chain(connection: Reader, organization: str) -> list[Link]:
    """All entries of an organization from the first on, to be checked by `broken_at`."""
    return [_link(row) for row in await connection.fetch(_CHAIN, organization)]


def _link(row: asyncpg.Record) -> Link:
    return Link(Entry(**{name: row[name] for name in Entry.__dataclass_fields__}), row["hash"])
