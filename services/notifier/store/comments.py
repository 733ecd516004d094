"""SQL on the comments of change requests, and on the events that they are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.notifier.deployments import Deployment
from shared.contracts.events import Event
from shared.postgres import Connection, Pool

_NOTE = """
INSERT INTO milestones (deployment, sequence, event)
SELECT noted.* FROM unnest($1::text[], $2::bigint[], $3::text[]) AS noted (deployment, sequence, event)
WHERE NOT EXISTS (SELECT FROM deployments WHERE id = noted.deployment AND change_request = '')
ON CONFLICT DO NOTHING
"""
_OF_PREVIEWS = "SELECT id, organization, repository, change_request AS number FROM deployments WHERE id = ANY($1) AND change_request <> ''"
_OUTDATE = """
INSERT INTO comments (organization, repository, number, version) VALUES ($1, $2, $3, 1)
ON CONFLICT (organization, repository, number) DO UPDATE SET version = comments.version + 1, updated_at = now()
RETURNING version
"""
_EVENTS = """
SELECT event FROM milestones JOIN deployments ON deployments.id = deployment
WHERE (organization, repository, change_request) = ($1, $2, $3)
ORDER BY deployment, milestones.sequence
"""
_FORGE_ID = "SELECT forge_id FROM comments WHERE (organization, repository, number) = ($1, $2, $3)"
_KEEP = """
INSERT INTO comments (organization, repository, number, forge_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (organization, repository, number) DO UPDATE SET forge_id = $4
"""


@dataclass(frozen=True, order=True)
class ChangeRequest:
    """A change request that has previews in an organization."""

    organization: str
    repository: str
    number: str


async def note(connection: Connection, events: Sequence[Event]) -> None:
    """Keeps what a comment may be made of. What is known to be of no preview is not kept."""
    if events:
        columns = (
            [event.deployment for event in events],
            [event.sequence for event in events],
            [event.encode().decode() for event in events],
        )
        await connection.execute(_NOTE, *columns)


async def change_requests(connection: Connection, deployments: Iterable[str]) -> dict[str, ChangeRequest]:
    """The change request of each deployment that is known to be a preview's."""
    rows = await connection.fetch(_OF_PREVIEWS, list(deployments))
    return {row["id"]: ChangeRequest(row["organization"], row["repository"], row["number"]) for row in rows}


async def outdate(connection: Connection, request: ChangeRequest) -> int:
    """There is something to say, under this version; nobody else gets one before the transaction ends."""
    version: int = await connection.fetchval(_OUTDATE, request.organization, request.repository, request.number)
    return version


class CommentLedger:
    """`providers.comment.Ledger` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def events(self, deployment: Deployment) -> list[Event]:
        """What the comment of a deployment's change request is made of."""
        return [Event.decode(row["event"]) for row in await self._pool.fetch(_EVENTS, *_request(deployment))]

    async def forge_id(self, deployment: Deployment) -> str | None:
        """The forge's id of the comment, once it was made."""
        found: str | None = await self._pool.fetchval(_FORGE_ID, *_request(deployment))
        return found

    async def keep_forge_id(self, deployment: Deployment, forge_id: str) -> None:
        """Remembers it."""
        await self._pool.execute(_KEEP, *_request(deployment), forge_id)


def _request(deployment: Deployment) -> tuple[str, str, str]:
    return deployment.organization, deployment.repository, deployment.change_request
