"""SQL on what waits for channels that were removed or changed, or whose receiver wants nothing more: in pieces, it may be very much."""

from shared.postgres import Pool

AT_ONCE = 2000
"""Rows a statement: each ends well before its time is up."""
# The channels that something waits for are read one by one from the index, not from all that waits.
_END = """
WITH RECURSIVE waiting AS (
    (SELECT organization, channel FROM notifications WHERE state = 'pending' ORDER BY organization, channel LIMIT 1)
    UNION ALL
    SELECT next.organization, next.channel FROM waiting CROSS JOIN LATERAL (
        SELECT organization, channel FROM notifications
        WHERE state = 'pending' AND (organization, channel) > (waiting.organization, waiting.channel)
        ORDER BY organization, channel LIMIT 1
    ) AS next
), useless AS (
    SELECT mine.id, CASE WHEN channels.name IS NULL THEN 'dropped' ELSE 'gone' END AS state
    FROM waiting LEFT JOIN channels ON (channels.organization, channels.name) = (waiting.organization, waiting.channel)
    CROSS JOIN LATERAL (
        SELECT id FROM notifications
        WHERE (notifications.organization, notifications.channel) = (waiting.organization, waiting.channel) AND state = 'pending'
        LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS mine
    WHERE channels.name IS NULL OR channels.gone_at IS NOT NULL
    LIMIT $1
)
UPDATE notifications SET state = useless.state, ended_at = now(), leased_until = NULL
FROM useless WHERE notifications.id = useless.id AND notifications.state = 'pending'
"""
_CHANGED = "SELECT organization, name, version FROM channels WHERE changed"
_TRY = """
UPDATE notifications SET due_at = now() WHERE id = ANY(ARRAY(
    SELECT id FROM notifications WHERE (organization, channel) = ($1, $2) AND state = 'pending' AND due_at > now() LIMIT $3
)) AND state = 'pending'
"""
_TRIED = "UPDATE channels SET changed = false WHERE (organization, name, version) = ($1, $2, $3)"


async def end(pool: Pool) -> None:
    """What waits for a channel that is no more is dropped; that of a receiver that wants nothing more is not told either."""
    while await pool.execute(_END, AT_ONCE) == f"UPDATE {AT_ONCE}":
        pass


async def hurry(pool: Pool) -> bool:
    """What waits for another attempt is tried at once where its channel was changed; whether there is such a channel."""
    changed = await pool.fetch(_CHANGED)
    for organization, name, version in changed:
        while await pool.execute(_TRY, organization, name, AT_ONCE) == f"UPDATE {AT_ONCE}":
            pass
        await pool.execute(_TRIED, organization, name, version)
    return bool(changed)
