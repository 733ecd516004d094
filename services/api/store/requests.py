"""People's wishes and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.store.places import Reads
from shared.contracts.places import Place
from shared.contracts.requests import Request
from shared.postgres import Connection


@dataclass(frozen=True)
class StoredRequest:
    """A wish. `deployment`: the one that it is about, or that it led to."""

    id: str
    organization: str
    project: str | None
    environment: str | None
    subject: str
    verb: str
    deployment: str | None
    refusal: str | None
    state: str


_NEW = """
INSERT INTO requests (id, organization, project, environment, subject, verb, deployment) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_GET = """
SELECT id, organization, project, environment, subject, verb, deployment, refusal,
    CASE WHEN refusal IS NOT NULL THEN 'refused' WHEN answered_at IS NULL THEN 'sent'
        WHEN verb IN ('cancel', 'approve', 'retry', 'accept', 'answer') THEN 'done' ELSE 'taken' END AS state
FROM requests WHERE id = $1
"""
_TAKEN = """
UPDATE requests SET deployment = taken.deployment, answered_at = now()
FROM unnest($1::text[], $2::text[]) AS taken (request, deployment) WHERE requests.id = taken.request
"""
_DONE = "UPDATE requests SET answered_at = now() WHERE id = ANY($1::text[]) AND answered_at IS NULL"
_REFUSED = """
UPDATE requests SET refusal = refused.reason, answered_at = now()
FROM unnest($1::text[], $2::text[]) AS refused (request, reason) WHERE requests.id = refused.request
"""


async def new(connection: Connection, request: Request, place: Place | None, about: str | None) -> None:
    """Keeps a wish, in the transaction that sends it."""
    project, environment = (None, None) if place is None else (place.project, place.environment)
    await connection.execute(_NEW, request.id, request.organization, project, environment, request.subject, request.verb, about)


async def get(reads: Reads, request: str) -> StoredRequest | None:
    """A wish, if there is one of that id."""
    row = await reads.fetchrow(_GET, request)
    return None if row is None else StoredRequest(**row)


async def taken(connection: Connection, answers: Sequence[tuple[str, str]]) -> None:
    """These wishes (ids) led to these deployments."""
    if answers:
        await connection.execute(_TAKEN, [request for request, _ in answers], [to for _, to in answers])


async def done(connection: Connection, answered: Sequence[str]) -> None:
    """These wishes (ids) about a deployment were done. What is no wish is left out."""
    if answered:
        await connection.execute(_DONE, answered)


async def refused(connection: Connection, answers: Sequence[tuple[str, str]]) -> None:
    """These wishes (ids) were refused, for these reasons."""
    if answers:
        await connection.execute(_REFUSED, [request for request, _ in answers], [reason for _, reason in answers])
