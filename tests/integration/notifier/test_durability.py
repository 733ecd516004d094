"""Nothing that is to be told is lost, or told by two at once."""

from datetime import timedelta

import pytest

from services.notifier.providers.chat import ChatProvider
from services.notifier.providers.contract import Outcome, Verdict
from shared.contracts.events import CatalogueChanged, DeploymentSucceeded, Event, NotificationAttempted
from shared.messages import new_id, utc_now
from shared.proto import catalogue_pb2 as pb
from tests.integration.notifier.conftest import World, webhook
from tests.integration.notifier.receivers import receiver
from tests.polling import eventually


async def test_events_wait_for_the_first_look_at_the_catalogue(world: World, signing_secret: str) -> None:
    """What happened before notifier ever started is told by the channels that there are."""
    async with receiver() as hook:
        world.catalogue.channels = [webhook(hook.url, signing_secret)]
        await world.happens(DeploymentSucceeded(), deployment="d1")
        async with world.start():
            await world.becomes("delivered")
    assert len(hook.calls) == 1


async def test_what_was_not_told_is_told_after_a_restart(world: World, signing_secret: str) -> None:
    """A process that ends in mid-attempt leaves it to the next, when its lease is over."""
    async with receiver() as hook:
        hook.hang = True
        async with world.start():
            await world.channels(webhook(hook.url, signing_secret))
            await world.happens(DeploymentSucceeded(), deployment="d1")

            async def called() -> bool:
                return bool(hook.calls)

            await eventually(called)
        hook.hang = False
        assert await world.states() == ["pending"]
        await world.database.execute("UPDATE notifications SET leased_until = now()")
        async with world.start():
            await world.becomes("delivered")
    assert len({call.headers["webhook-id"] for call in hook.calls}) == 1


async def test_a_provider_s_own_failure_is_an_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that could be the database's (a broken connection), with words that no column takes, does not go on for ever unseen."""

    async def deliver(*_: object) -> Verdict:
        raise ConnectionResetError("gone")

    async def says(*_: object) -> Verdict:
        return Verdict(Outcome.HOPELESS, error="\0 and \ud800")

    monkeypatch.setattr(ChatProvider, "deliver", deliver)
    async with world.start():
        await world.channels(pb.Channel(organization="main", name="chat", kind="chat", url="slack://x", version=1))
        await world.happens(DeploymentSucceeded(), deployment="d1")

        async def attempted() -> list[NotificationAttempted]:
            return await world.attempted()

        failed = await eventually(attempted)
        assert failed
        assert failed[0].error == "internal error: ConnectionResetError"
        monkeypatch.setattr(ChatProvider, "deliver", says)
        await world.becomes("dead")

        async def told() -> bool:
            return (await world.attempted())[-1].error == "\ufffd and ?"

        await eventually(told)


async def test_two_replicas_tell_everything_once(world: World, signing_secret: str) -> None:
    """They share the stream and the table; each event is sent by one of them."""
    count = 60
    async with receiver() as hook, world.start(), world.start():
        await world.channels(webhook(hook.url, signing_secret))
        events = [await world.happens(DeploymentSucceeded(), deployment=new_id()) for _ in range(count)]
        await world.becomes(*["delivered"] * count)
    sent = [call.headers["webhook-id"] for call in hook.calls]
    assert sorted(sent) == sorted(event.id for event in events)


async def test_an_event_that_comes_twice_is_told_once(notifier: World, signing_secret: str) -> None:
    """The same event published again under another message id changes nothing."""
    async with receiver() as hook:
        await notifier.channels(webhook(hook.url, signing_secret))
        event = await notifier.happens(DeploymentSucceeded(), deployment="d1")
        await notifier.coordinator.publish(event.subject, event, message_id=new_id())
        await notifier.happens(DeploymentSucceeded(), deployment="d2")
        await notifier.becomes("delivered", "delivered")
    assert len(hook.calls) == 2


async def test_what_is_long_past_is_not_told(notifier: World, signing_secret: str) -> None:
    """A stream that is read from its beginning does not tell a month of old news."""
    async with receiver() as hook:
        await notifier.channels(webhook(hook.url, signing_secret))
        old = Event.of(DeploymentSucceeded(), "main", "todo", "production").model_copy(update={"time": utc_now() - timedelta(days=4)})
        await notifier.coordinator.publish(old.subject, old)
        new = await notifier.happens(DeploymentSucceeded(), deployment="d2")
        await notifier.becomes("delivered")
    assert [call.headers["webhook-id"] for call in hook.calls] == [new.id]


async def test_a_channel_that_was_removed_is_told_nothing_more(notifier: World, signing_secret: str) -> None:
    """What waited for it is dropped."""
    async with receiver() as hook:
        nobody = hook.url
    await notifier.channels(webhook(nobody, signing_secret))
    await notifier.happens(DeploymentSucceeded(), deployment="d1")

    async def tried() -> bool:
        return bool(await notifier.database.fetchval("SELECT count(*) FROM attempts"))

    await eventually(tried)
    await notifier.channels()
    await notifier.happens(DeploymentSucceeded(), deployment="d2")

    async def dropped() -> bool:
        return await notifier.states() == ["dropped"]

    await eventually(dropped)


async def test_a_catalogue_event_of_another_kind_asks_nobody(notifier: World) -> None:
    """Variables change often; channels do not change with them."""

    async def asked_at_start() -> int | None:
        wanted: int | None = await notifier.database.fetchval("SELECT wanted FROM mirror WHERE done = wanted")
        return wanted

    before = await eventually(asked_at_start)
    await notifier.happens(CatalogueChanged(kind="variable", name="A", action="updated"))
    last = await notifier.happens(CatalogueChanged(kind="variable", name="B", action="updated"))

    async def taken() -> bool:
        return bool(await notifier.database.fetchval("SELECT count(*) FROM inbox WHERE id = $1", last.id))

    await eventually(taken)
    assert await notifier.database.fetchval("SELECT wanted FROM mirror") == before


async def test_a_database_that_restarts_loses_nothing(notifier: World, signing_secret: str) -> None:
    """Cut off again and again in the midst of it, every event is told in the end."""
    count = 20
    async with receiver() as hook:
        await notifier.channels(webhook(hook.url, signing_secret))
        for _ in range(count):
            await notifier.happens(DeploymentSucceeded(), deployment=new_id())
            await notifier.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'slipway-notifier%'"
            )

        async def all_told() -> bool:
            # What lost its database while it was told waits for the end of its lease: let it be now.
            await notifier.database.execute(
                "UPDATE notifications SET leased_until = now() WHERE leased_until > now() + interval '5 seconds'"
            )
            return await notifier.states() == ["delivered"] * count

        await eventually(all_told, within=30, every=1)
    assert len({call.headers["webhook-id"] for call in hook.calls}) == count
