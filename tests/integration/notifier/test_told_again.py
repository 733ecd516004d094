"""Webhooks that are told again because somebody asked for it."""

from datetime import timedelta

from starlette.responses import Response

from shared.contracts.answers import Failure
from shared.contracts.events import DeploymentFailed, DeploymentSuperseded, MessageRequestedAgain
from shared.messages import utc_now
from tests.integration.notifier.conftest import World, webhook
from tests.integration.notifier.receivers import receiver
from tests.polling import eventually


async def test_one_event_or_a_range_is_told_again(notifier: World, signing_secret: str) -> None:
    """Under the ids that they had, so that a receiver knows them; what was given up, too; what is outside the range is left alone."""
    async with receiver() as hook:
        await notifier.channels(webhook(hook.url, signing_secret))
        one = await notifier.happens(DeploymentSuperseded(reason="1"), deployment="d1", sequence=2)
        two = await notifier.happens(DeploymentSuperseded(reason="2"), deployment="d2", sequence=2)
        await notifier.becomes("delivered", "delivered")
        assert sorted(hook_ids(hook.calls)) == sorted([one.id, two.id])
        await notifier.happens(MessageRequestedAgain(channel="hook", event=two.id, by="ada"))

        async def two_again() -> bool:
            return hook_ids(hook.calls)[2:] == [two.id]

        await eventually(two_again)
        await notifier.becomes("delivered", "delivered")
        await notifier.database.execute("UPDATE notifications SET state = 'dead' WHERE event_id = $1", one.id)
        soon = utc_now() + timedelta(minutes=1)
        await notifier.happens(MessageRequestedAgain(channel="hook", since=two.time + timedelta(seconds=30), until=soon, by="ada"))
        await notifier.happens(MessageRequestedAgain(channel="other", since=one.time, until=soon, by="ada"))
        await notifier.happens(MessageRequestedAgain(channel="hook", since=one.time, until=soon, by="ada"))

        async def both_again() -> bool:
            return sorted(hook_ids(hook.calls)[3:]) == sorted([one.id, two.id])

        await eventually(both_again)
        await notifier.becomes("delivered", "delivered")
    rows = await notifier.database.fetch("SELECT number FROM attempts ORDER BY notification, number")
    assert sorted(row["number"] for row in rows) == [1, 1, 2, 2, 3]


async def test_an_event_with_a_nul_is_told_again_like_others(notifier: World, signing_secret: str) -> None:
    """A program's last lines may hold one: neither that event nor those beside it are left out of a range."""
    async with receiver() as hook:
        await notifier.channels(webhook(hook.url, signing_secret))
        failure = Failure(code="crashed", message="It exits with 1", log_tail=("a\0b",))
        odd = await notifier.happens(DeploymentFailed(reason="1", failure=failure), deployment="d1", sequence=2)
        even = await notifier.happens(DeploymentSuperseded(reason="2"), deployment="d2", sequence=2)
        await notifier.becomes("delivered", "delivered")
        await notifier.happens(MessageRequestedAgain(channel="hook", since=odd.time, by="ada"))

        async def both_again() -> bool:
            return sorted(hook_ids(hook.calls)[2:]) == sorted([odd.id, even.id])

        await eventually(both_again)


async def test_a_receiver_that_is_gone_is_not_called(notifier: World, signing_secret: str) -> None:
    """It answered 410: the channel has to be changed first."""
    async with receiver() as hook:
        hook.answers = [Response(status_code=410)]
        await notifier.channels(webhook(hook.url, signing_secret))
        event = await notifier.happens(DeploymentSuperseded(reason="1"), deployment="d1", sequence=2)
        await notifier.becomes("gone")
        wish = await notifier.happens(MessageRequestedAgain(channel="hook", event=event.id, by="ada"))

        async def taken() -> bool:
            return bool(await notifier.database.fetchval("SELECT EXISTS (SELECT FROM inbox WHERE id = $1)", wish.id))

        await eventually(taken)
        assert await notifier.states() == ["gone"]
        assert len(hook.calls) == 1


def hook_ids(calls: object) -> list[str]:
    """The id of each message that came."""
    assert isinstance(calls, list)
    return [call.headers["webhook-id"] for call in calls]
