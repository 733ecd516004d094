"""SQL on telling again what was told, or could not be."""

from shared.contracts.events import Event, MessageRequestedAgain
from shared.postgres import Connection

# An event is not read as JSON: it may hold U+0000, which jsonb refuses. Its own time comes first, and within a text the quotes are escaped.
_TIME = """substring(event FROM '"time":"([^"]+)"')::timestamptz"""
_AGAIN = f"""
UPDATE notifications SET state = 'pending', created_at = now(), due_at = now(), ended_at = NULL, leased_until = NULL
WHERE organization = $1 AND channel = $2 AND state <> 'pending'
  AND EXISTS (SELECT FROM channels WHERE (channels.organization, name) = ($1, $2) AND kind = 'webhook' AND gone_at IS NULL)
  AND ($3::text IS NULL OR event_id = $3)
  AND ($4::timestamptz IS NULL OR {_TIME} >= $4)
  AND ($5::timestamptz IS NULL OR {_TIME} < $5)
"""  # noqa: S608 -- of constants


async def tell_again(connection: Connection, wish: Event) -> bool:
    """What the channel was to hear of is due once more, with all tries that it had at first; whether there is any.

    A receiver knows each by its `webhook-id`, which is the same. What still waits is left alone, and a channel whose receiver answered 410
    is not called.
    """
    fact = MessageRequestedAgain.model_validate(wish.data)
    done = await connection.execute(_AGAIN, wish.organization, fact.channel, fact.event, fact.since, fact.until)
    return not done.endswith(" 0")
