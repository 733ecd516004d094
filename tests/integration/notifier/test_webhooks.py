"""Signed webhooks, to a receiver that verifies them as their standard says."""

import asyncio
import json
import ssl
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.responses import RedirectResponse, Response

from embedded import authority
from embedded.home import Home
from shared.authorities import trusted
from shared.contracts.cdevents import CDEvent
from shared.contracts.events import DeploymentSucceeded, DeploymentSuperseded, Event, MessageRequestedAgain
from shared.contracts.facts import DeploymentAuthorized
from shared.listening import listening
from tests.integration.notifier.conftest import World, new_signing_secret, webhook
from tests.integration.notifier.receivers import receiver
from tests.polling import eventually


async def test_an_event_arrives_signed_as_a_cloud_event(notifier: World, signing_secret: str) -> None:
    """The receiver verifies it with the published library and reads the whole event, whatever its text holds."""
    async with receiver() as hook:
        await notifier.channels(webhook(f"{hook.url}/in?x=1", signing_secret))
        event = await notifier.happens(DeploymentSucceeded(urls=("https://tödo.example/🚀",)), deployment="d1", sequence=9)
        await notifier.becomes("delivered")
    call = hook.calls[0]
    said = Webhook(signing_secret).verify(call.body, call.headers)
    assert (call.path, call.query) == ("/in", {"x": "1"})
    assert call.headers["content-type"].startswith("application/cloudevents+json")
    assert call.headers["webhook-id"] == event.id == said["id"]
    assert (said["specversion"], said["type"], said["source"]) == ("1.0", "slipway.DeploymentSucceeded.v1", "slipway/coordinator")
    assert said["subject"] == "main/todo/production"
    assert Event.model_validate(said["data"]) == event
    with pytest.raises(WebhookVerificationError):
        Webhook(signing_secret).verify(call.body + b" ", call.headers)


async def test_during_a_rotation_both_secrets_sign(notifier: World, signing_secret: str) -> None:
    """A receiver that knows one of them verifies what comes, whichever it is; afterwards the newest one alone does."""
    newest = new_signing_secret()
    async with receiver() as hook:
        await notifier.channels(webhook(hook.url, newest, former_secret=signing_secret, version=2))
        await notifier.happens(DeploymentSucceeded(), deployment="d1")
        await notifier.becomes("delivered")
        await notifier.channels(webhook(hook.url, newest, version=3))
        await notifier.happens(DeploymentSucceeded(), deployment="d2")
        await notifier.becomes("delivered", "delivered")
    both, one = hook.calls
    assert [signature[:3] for signature in both.headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    for secret in (newest, signing_secret):
        Webhook(secret).verify(both.body, both.headers)
    Webhook(newest).verify(one.body, one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing_secret).verify(one.body, one.headers)


async def test_a_webhook_may_be_told_cdevents(notifier: World, signing_secret: str) -> None:
    """Signed, as structured CloudEvents under their own ids; those that it names, or the end of each deployment. Told again, the same."""
    async with receiver() as hook, receiver() as usual:
        await notifier.channels(
            webhook(hook.url, signing_secret, "pipelinerun.*", format="cdevents"),
            webhook(usual.url, signing_secret, name="usual", format="cdevents"),
        )
        deployment = await notifier.deployment()
        await notifier.happens(DeploymentAuthorized(rule="admin"), deployment=deployment, sequence=2)
        await notifier.happens(DeploymentSucceeded(), deployment=deployment, sequence=9)
        await notifier.becomes(*["delivered"] * 4)
        finished = f"{deployment}.pipelinerun.finished"
        await notifier.happens(MessageRequestedAgain(channel="usual", event=finished, by="ada"))

        async def again() -> bool:
            return [call.headers["webhook-id"] for call in usual.calls] == [finished] * 2

        await eventually(again)
    said = [Webhook(signing_secret).verify(call.body, call.headers) for call in hook.calls]
    assert {each["id"] for each in said} == {f"{deployment}.pipelinerun.{what}" for what in ("queued", "started", "finished")}
    assert [each["id"] for each in said] == [call.headers["webhook-id"] for call in hook.calls]
    assert {(each["specversion"], each["source"], each["subject"]) for each in said} == {("1.0", "slipway/main/todo", deployment)}
    assert all(CDEvent.model_validate(each["data"]).context.id == each["id"] for each in said)


async def test_it_is_tried_again_until_it_is_taken(notifier: World, signing_secret: str) -> None:
    """Each attempt has the same id and a fresh signature, is kept, and is published as an event."""
    async with receiver() as hook:
        hook.answers = [Response("no\0pe", 500), RedirectResponse("http://elsewhere.test/"), Response(status_code=201)]
        await notifier.channels(webhook(hook.url, signing_secret))
        event = await notifier.happens(DeploymentSuperseded(reason="newer"), deployment="d1", sequence=2)
        await notifier.becomes("delivered")
    assert [call.headers["webhook-id"] for call in hook.calls] == [event.id] * 3
    for call in hook.calls:
        Webhook(signing_secret).verify(call.body, call.headers)
    rows = await notifier.database.fetch("SELECT number, status, delivered, next_at IS NULL AS last FROM attempts ORDER BY number")
    assert [tuple(row.values()) for row in rows] == [(1, 500, False, False), (2, 307, False, False), (3, 201, True, True)]

    async def published() -> bool:
        attempts = await notifier.attempted()
        assert [(each.attempt, each.status, each.delivered, each.about) for each in attempts] == [
            (1, 500, False, event.id),
            (2, 307, False, event.id),
            (3, 201, True, event.id),
        ]
        assert attempts[0].next_attempt_at
        assert "elsewhere.test" in attempts[1].error
        return True

    await eventually(published)


async def test_a_receiver_that_is_gone_is_left_alone(notifier: World, signing_secret: str) -> None:
    """After 410 nothing more is sent, until the channel is changed."""
    async with receiver() as hook:
        hook.answers = [Response(status_code=410)]
        await notifier.channels(webhook(hook.url, signing_secret))
        await notifier.happens(DeploymentSucceeded(), deployment="d1")
        await notifier.becomes("gone")
        await notifier.happens(DeploymentSucceeded(), deployment="d2")
        await notifier.channels(webhook(hook.url, signing_secret, version=2))
        last = await notifier.happens(DeploymentSucceeded(), deployment="d3")
        await notifier.becomes("gone", "delivered")
    assert len(hook.calls) == 2
    assert hook.calls[1].headers["webhook-id"] == last.id


async def test_what_nobody_takes_is_given_up(world: World, signing_secret: str) -> None:
    """After the days that were set it is dead, with every attempt on record; a receiver that is not there is no error of ours."""
    async with receiver() as hook:
        nobody = hook.url
    async with world.start(dead_after_days=1 / 86400):
        await world.channels(webhook(nobody, signing_secret))
        await world.happens(DeploymentSucceeded(), deployment="d1")
        await world.becomes("dead")
    errors = [row["error"] for row in await world.database.fetch("SELECT error FROM attempts")]
    assert len(errors) > 1
    assert all("127.0.0.1 cannot be reached" in error for error in errors)


async def test_a_receiver_that_fails_holds_up_nobody_else(notifier: World, signing_secret: str) -> None:
    """One that never answers, one whose secret is wrong: the third hears at once."""
    async with receiver() as silent, receiver() as good:
        silent.hang = True
        await notifier.channels(
            webhook(silent.url, signing_secret, name="silent"),
            webhook(good.url, "whsec_", name="unsigned"),
            webhook(good.url, signing_secret, name="good"),
        )
        await notifier.happens(DeploymentSucceeded(), deployment="d1")

        async def others_are_done() -> bool:
            rows = await notifier.database.fetch("SELECT channel, state FROM notifications ORDER BY channel")
            return [tuple(row.values()) for row in rows] == [("good", "delivered"), ("silent", "pending"), ("unsigned", "dead")]

        await eventually(others_are_done, within=10)


async def test_private_addresses_are_refused(world: World, signing_secret: str) -> None:
    """Without leave no request reaches a loopback address, by number or by name, and the reason says how to allow it."""
    async with receiver() as hook, world.start(allow_private_webhooks=False):
        port = hook.url.rpartition(":")[2]
        await world.channels(
            webhook(hook.url, signing_secret, name="a"),
            webhook(f"http://localhost:{port}", signing_secret, name="b"),
            webhook(f"http://[::ffff:127.0.0.1]:{port}", signing_secret, name="c"),
            webhook(f"http://2130706433:{port}", signing_secret, name="d"),
            webhook("file:///etc/passwd", signing_secret, name="e"),
            webhook(f"http://user:password@127.0.0.1:{port}", signing_secret, name="f"),
        )
        await world.happens(DeploymentSucceeded(), deployment="d1")
        await world.becomes("dead", "dead", "dead", "dead", "dead", "dead")
        assert hook.calls == []
    errors = {row["error"] for row in await world.database.fetch("SELECT error FROM attempts")}
    assert sum("SLIPWAY_ALLOW_PRIVATE_WEBHOOKS" in error for error in errors) == 4
    assert not any("password" in error and "user:" in error for error in errors)


async def test_the_name_stays_the_targets_own(notifier: World, signing_secret: str) -> None:
    """The checked address is called, with the host name that the channel has."""
    async with receiver() as hook:
        port = hook.url.rpartition(":")[2]
        await notifier.channels(webhook(f"http://localhost:{port}/x", signing_secret))
        await notifier.happens(DeploymentSucceeded(), deployment="d1")
        await notifier.becomes("delivered")
    assert hook.calls[0].headers["host"] == f"localhost:{port}"


async def test_what_is_stored_holds_no_secret(notifier: World, signing_secret: str) -> None:
    """Address and secret of a channel lie encrypted in the database."""
    await notifier.channels(webhook("https://hooks.example/very-secret-path", signing_secret))
    rows = await notifier.database.fetch("SELECT * FROM channels")
    assert signing_secret.removeprefix("whsec_") not in repr(rows)
    assert "very-secret-path" not in repr(rows)
    assert json.dumps([row["name"] for row in rows]) == '["hook"]'


async def test_a_certificate_is_checked_against_the_name(
    world: World, signing_secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS the certificate must be the name's, though the number is called; an unknown authority is refused."""
    ours = Home.at(tmp_path / "home")
    ours.prepare()
    authority.prepare(ours, ("hook",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.tls / "hook.pem", ours.tls / "hook.key")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with listening(answer, tls=context) as port:
        url = f"https://localhost:{port}/"
        async with world.start(dead_after_days=2 / 86400):
            await world.channels(webhook(url, signing_secret))
            await world.happens(DeploymentSucceeded(), deployment="d1")
            await world.becomes("dead")
        assert "CERTIFICATE_VERIFY_FAILED" in await world.database.fetchval("SELECT error FROM attempts LIMIT 1")
        with monkeypatch.context() as ours_is_trusted:
            ours_is_trusted.setenv("SSL_CERT_FILE", str(ours.tls / "ca.pem"))
            trusted.cache_clear()  # a process of its own would have read it
            async with world.start():
                await world.happens(DeploymentSucceeded(), deployment="d2")
                await world.becomes("dead", "delivered")
        trusted.cache_clear()
    assert names[-1] == "localhost"
