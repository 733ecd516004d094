"""SQL on the mirror of channels."""

from collections.abc import Sequence
from datetime import timedelta

from services.notifier import channels
from services.notifier.channels import Channel
from services.notifier.matching import Listener
from shared.postgres import Connection, Pool
from shared.sealing import Vault

_WANT = "UPDATE mirror SET wanted = wanted + 1"
_STATE = "SELECT wanted, done FROM mirror"
_DONE = "UPDATE mirror SET done = GREATEST(done, $1)"
_LOCK = "LOCK TABLE channels IN SHARE ROW EXCLUSIVE MODE"
_LISTENERS = "SELECT organization, name, project, kind, events, repository, format FROM channels WHERE gone_at IS NULL ORDER BY name"
_GET = "SELECT * FROM channels WHERE organization = $1 AND name = $2"
_PUT = """
INSERT INTO channels (organization, name, project, kind, forge, api_url, repository, events, version, sealed, format)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (organization, name) DO UPDATE SET
    project = $3, kind = $4, forge = $5, api_url = $6, repository = $7, events = $8, version = $9, sealed = $10, format = $11,
    changed = channels.changed OR channels.version <> $9,
    gone_at = CASE WHEN channels.version = $9 THEN channels.gone_at END,
    hold_until = CASE WHEN channels.version = $9 THEN channels.hold_until END,
    comments_rest_until = CASE WHEN channels.version = $9 THEN channels.comments_rest_until END
"""
_DELETE = """
DELETE FROM channels
WHERE NOT EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS kept (o, n) WHERE (o, n) = (organization, name))
"""
_GONE = "UPDATE channels SET gone_at = now() WHERE organization = $1 AND name = $2 AND version = $3"
_REST = """
UPDATE channels SET hold_until = now() + $3::interval
WHERE organization = $1 AND name = $2 AND version = $4 AND (hold_until IS NULL OR hold_until < now()) RETURNING name
"""
_REST_COMMENTS = """
UPDATE channels SET comments_rest_until = now() + $3::interval
WHERE organization = $1 AND name = $2 AND version = $4 AND (comments_rest_until IS NULL OR comments_rest_until < now()) RETURNING name
"""
_HOLD = "UPDATE channels SET hold_until = now() + $3::interval WHERE organization = $1 AND name = $2"


async def want(connection: Connection) -> None:
    """The mirror is old from now on."""
    await connection.execute(_WANT)


async def wanted_and_done(pool: Pool) -> tuple[int, int]:
    """Which state of the catalogue is wanted, and which is here; 0: none was ever here."""
    row = await pool.fetchrow(_STATE)
    if row is None:
        raise LookupError("mirror")
    return row["wanted"], row["done"]


async def replace(connection: Connection, vault: Vault, every: Sequence[Channel], wanted: int) -> None:
    """What the catalogue has now. What waits for a channel that was changed or is no more is settled afterwards (`store.backlogs`)."""
    await connection.execute(_LOCK)
    for each in every:
        await connection.execute(
            _PUT,
            each.organization,
            each.name,
            each.project,
            each.kind,
            each.forge,
            each.api_url,
            each.repository,
            list(each.events),
            each.version,
            channels.seal(vault, each),
            each.format,
        )
    await connection.execute(_DELETE, [each.organization for each in every], [each.name for each in every])
    await connection.execute(_DONE, wanted)


async def listeners(connection: Connection) -> list[Listener]:
    """Every channel that may hear of something, by name."""
    rows = await connection.fetch(_LISTENERS)
    return [Listener(**{**row, "events": tuple(row["events"])}) for row in rows]


async def get(pool: Pool, vault: Vault, organization: str, name: str) -> Channel | None:
    """A channel with its secrets; raises `shared.sealing.Unopenable`."""
    row = await pool.fetchrow(_GET, organization, name)
    if row is None:
        return None
    return Channel(
        organization=organization,
        name=name,
        project=row["project"],
        kind=row["kind"],
        forge=row["forge"],
        api_url=row["api_url"],
        repository=row["repository"],
        events=tuple(row["events"]),
        version=row["version"],
        format=row["format"],
        **channels.unseal(vault, organization, name, row["sealed"]),
    )


async def gone(connection: Connection, channel: Channel) -> None:
    """Its receiver wants nothing more, of what waits neither (`store.backlogs`); holds until the channel is changed."""
    await connection.execute(_GONE, channel.organization, channel.name, channel.version)


async def hold(connection: Connection, channel: Channel, wait: timedelta) -> None:
    """Nothing goes through it for a while."""
    await connection.execute(_HOLD, channel.organization, channel.name, wait)


async def rest(connection: Connection, channel: Channel, wait: timedelta, *, comments: bool = False) -> bool:
    """Nothing goes through it for a while, unless it is changed; of comments where the token may do all but these.

    Whether it rests by this very word, not by an earlier one.
    """
    row = await connection.fetchval(_REST_COMMENTS if comments else _REST, channel.organization, channel.name, wait, channel.version)
    return row is not None
