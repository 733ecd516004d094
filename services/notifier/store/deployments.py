"""SQL on what deployments are about, and on their counterparts on forges."""

from collections.abc import Iterable

from services.notifier.channels import Channel
from services.notifier.deployments import Deployment
from shared.postgres import Connection, Pool

_COLUMNS = "id, organization, project, environment, environment_kind, repository, ref, commit, title, pusher, created_at, change_request"
_ADD = f"""
INSERT INTO deployments ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING
"""  # noqa: S608 -- constant names of columns
_GET = f"SELECT {_COLUMNS} FROM deployments WHERE id = $1"  # noqa: S608
_COMMITS = "SELECT id, commit FROM deployments WHERE id = ANY($1)"
_FORGE_ID = "SELECT forge_id FROM forge_deployments WHERE (organization, channel, deployment) = ($1, $2, $3)"
_KEEP = """
INSERT INTO forge_deployments (organization, channel, deployment, forge_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (organization, channel, deployment) DO UPDATE SET forge_id = $4
"""
_TOLD = """
INSERT INTO forge_deployments (organization, channel, deployment, sequence) VALUES ($1, $2, $3, $4)
ON CONFLICT (organization, channel, deployment)
DO UPDATE SET sequence = GREATEST(forge_deployments.sequence, $4), told_at = now()
"""
_OVERTAKEN = """
SELECT EXISTS (
    SELECT FROM deployments WHERE (organization, project, environment, repository, commit) = ($1, $2, $3, $4, $5)
      AND (created_at, id) > ($6, $7)
)
"""
_SEQUENCE = "SELECT sequence FROM forge_deployments WHERE (organization, channel, deployment) = ($1, $2, $3)"


async def add(connection: Connection, deployment: Deployment) -> None:
    """What its first event says; known already, nothing changes."""
    fields = [getattr(deployment, name) for name in Deployment.__dataclass_fields__]
    await connection.execute(_ADD, *fields)


async def get(pool: Pool, deployment: str) -> Deployment | None:
    """None where its first event has not come yet."""
    row = await pool.fetchrow(_GET, deployment)
    return Deployment(**row) if row else None


async def commits(connection: Connection, known: Iterable[str]) -> dict[str, str]:
    """The commit of each deployment whose first event has come."""
    return {row["id"]: row["commit"] for row in await connection.fetch(_COMMITS, list(known))}


async def told(connection: Connection, channel: Channel, deployment: str, sequence: int) -> None:
    """The forge shows the deployment as of this event."""
    await connection.execute(_TOLD, channel.organization, channel.name, deployment, sequence)


async def told_until(pool: Pool, channel: Channel, deployment: str) -> int:
    """The newest event that the forge shows; 0: none."""
    return int(await pool.fetchval(_SEQUENCE, channel.organization, channel.name, deployment) or 0)


class ForgeLedger:
    """`providers.forges.port.Ledger` and `providers.forge.Siblings` in PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def forge_id(self, channel: Channel, deployment: str) -> str | None:
        """The forge's id, once it was made."""
        found: str | None = await self._pool.fetchval(_FORGE_ID, channel.organization, channel.name, deployment)
        return found

    async def keep_forge_id(self, channel: Channel, deployment: str, forge_id: str) -> None:
        """Remembers it."""
        await self._pool.execute(_KEEP, channel.organization, channel.name, deployment, forge_id)

    async def overtaken(self, deployment: Deployment) -> bool:
        """Whether a newer deployment brings the same commit to the same environment."""
        one = deployment
        place = (one.organization, one.project, one.environment, one.repository, one.commit)
        found: bool = await self._pool.fetchval(_OVERTAKEN, *place, one.created_at, one.id)
        return found
