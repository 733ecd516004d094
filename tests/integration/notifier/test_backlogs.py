"""Channels that very much waits for are removed, changed and given up like others: no statement takes it all at once."""

import pytest
from starlette.responses import Response

from services.notifier.store.backlogs import AT_ONCE
from shared.contracts.events import DeploymentSucceeded
from tests.integration.notifier.conftest import World, webhook
from tests.integration.notifier.receivers import receiver
from tests.polling import eventually

MANY = 2 * AT_ONCE + 1
_FILL = """
INSERT INTO notifications (id, organization, channel, event_id, event, source, lane, sequence, due_at)
SELECT n, 'main', 'hook', n, $2, 'coordinator', n, 0, now() + interval '1 hour' FROM generate_series(1, $1::integer) n
"""


@pytest.fixture
async def filled(world: World) -> World:
    """Very much waits for another attempt with a channel; a statement that changes more than a piece fails, as one that takes too long does."""
    event = await world.happens(DeploymentSucceeded(), deployment="d1")
    await world.database.execute(_FILL, MANY, event.encode().decode())
    await world.database.execute(f"""
        CREATE FUNCTION pieces() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN ASSERT (SELECT count(*) FROM former) <= {AT_ONCE}; RETURN NULL; END $$;
        CREATE TRIGGER pieces AFTER UPDATE ON notifications REFERENCING OLD TABLE AS former FOR EACH STATEMENT EXECUTE FUNCTION pieces()
    """)  # noqa: S608 -- of constants
    return world


async def _are(world: World, state: str, count: int) -> None:
    async def so() -> bool:
        return (await world.states()).count(state) == count

    await eventually(so, within=20)


async def test_what_waits_for_a_removed_channel_is_dropped(filled: World, signing_secret: str) -> None:
    """All of it, and nothing of another channel."""
    await filled.database.execute("UPDATE notifications SET channel = 'other' WHERE id = '7'")
    async with receiver() as hook:
        other = webhook(hook.url, signing_secret, name="other")
        filled.catalogue.channels = [webhook(hook.url, signing_secret, "deployment.failed"), other]
        async with filled.start():
            await filled.channels(*filled.catalogue.channels)
            await filled.channels(other)
            await _are(filled, "dropped", MANY - 1)
    assert await filled.database.fetchval("SELECT state FROM notifications WHERE id = '7'") == "pending"


async def test_what_waits_for_a_changed_channel_is_tried_at_once(filled: World, signing_secret: str) -> None:
    """All of it; and that is remembered no longer than until it is."""
    async with receiver() as hook:
        filled.catalogue.channels = [webhook(hook.url, signing_secret, "deployment.failed")]
        async with filled.start():
            await filled.channels(*filled.catalogue.channels)
            await filled.channels(webhook(hook.url, signing_secret, "deployment.failed", version=2))

            async def due() -> bool:
                left = await filled.database.fetchval("SELECT count(*) FROM notifications WHERE due_at > now()")
                return left == 0 and not await filled.database.fetchval("SELECT changed FROM channels")

            await eventually(due, within=20)

            async def told() -> bool:
                return bool(hook.calls)

            await eventually(told)


async def test_what_waits_for_a_receiver_that_is_gone_is_given_up(filled: World, signing_secret: str) -> None:
    """By the first that it answers 410, and none is sent any more."""
    await filled.database.execute("UPDATE notifications SET due_at = now() WHERE id = '7'")
    async with receiver() as hook:
        hook.answers = [Response(status_code=410)]
        filled.catalogue.channels = [webhook(hook.url, signing_secret, "deployment.failed")]
        async with filled.start():
            await _are(filled, "gone", MANY)
    assert len(hook.calls) == 1
