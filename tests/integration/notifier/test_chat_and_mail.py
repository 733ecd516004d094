"""Chat and mail through apprise, to servers that speak the real protocols."""

import pytest
from starlette.responses import Response

from shared.contracts.answers import Failure
from shared.contracts.events import DeploymentRolledBack, DeploymentSucceeded
from shared.proto import catalogue_pb2 as pb
from tests.integration.notifier.conftest import World
from tests.integration.notifier.receivers import mail_server, receiver
from tests.polling import eventually

# apprise imports it, for Python versions that have it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def _chat(url: str, *events: str) -> pb.Channel:
    return pb.Channel(organization="main", name="chat", kind="chat", url=url, events=events, version=1)


async def test_a_mail_tells_what_happened(notifier: World) -> None:
    """The SMTP server gets a message with place, reason and the last lines of the log."""
    failure = Failure(code="crashed", message="It exits with 1", log_tail=("boom é",))
    async with mail_server() as mail:
        url = f"mailto://127.0.0.1:{mail.port}?from=slipway@example.test&to=team@example.test&mode=insecure"
        await notifier.channels(_chat(url))
        await notifier.happens(DeploymentRolledBack(reason="not healthy", failure=failure), deployment="d1")
        await notifier.becomes("delivered")
    message = mail.messages[0]
    assert message["Subject"] == "todo/production was rolled back"
    assert message["To"] == "team@example.test"
    text = str(message)
    parts = [part.get_content() for part in message.walk() if part.get_content_type().startswith("text/")]  # type: ignore[attr-defined]
    assert any("not healthy" in part and "It exits with 1" in part and "boom é" in part for part in parts), text


async def test_a_refused_mail_is_tried_again_and_says_why(notifier: World) -> None:
    """A greylisting server gets it at the next attempt."""
    async with mail_server() as mail:
        mail.refuse = "450 4.7.1 try again later"
        url = f"mailto://127.0.0.1:{mail.port}?from=slipway@example.test&to=team@example.test&mode=insecure"
        await notifier.channels(_chat(url))
        await notifier.happens(DeploymentSucceeded(), deployment="d1")

        async def refused() -> bool:
            return bool(await notifier.database.fetchval("SELECT count(*) FROM attempts WHERE NOT delivered"))

        await eventually(refused)
        mail.refuse = ""
        await notifier.becomes("delivered")
    assert len(mail.messages) == 1


async def test_a_chat_gets_a_message(notifier: World) -> None:
    """Mattermost's incoming webhook, which Slack's is like."""
    async with receiver() as chat:
        host = chat.url.removeprefix("http://")
        await notifier.channels(_chat(f"mmost://{host}/abcdefghijklmnopqrstuvwxyz"))
        chat.answers = [Response("ok", 200)]
        await notifier.happens(DeploymentSucceeded(urls=("https://todo.example",)), deployment="d1")
        await notifier.becomes("delivered")
    call = chat.calls[0]
    assert call.path == "/hooks/abcdefghijklmnopqrstuvwxyz"
    assert "todo/production is live" in str(call.json["text"])
    assert "https://todo.example" in str(call.json["text"])


async def test_a_failure_says_why_without_the_addresses_secrets(notifier: World) -> None:
    """What apprise says of it is kept, what stands in the address is not."""
    async with receiver() as chat:
        chat.answers = [Response("nope", 403), Response("ok", 200)]
        host = chat.url.removeprefix("http://")
        await notifier.channels(_chat(f"mmost://{host}/abcdefghijklmnopqrstuvwxyz"))
        await notifier.happens(DeploymentSucceeded(), deployment="d1")
        await notifier.becomes("delivered")
    error = await notifier.database.fetchval("SELECT error FROM attempts WHERE number = 1")
    assert "403" in error
    assert "abcdefghijklmnopqrstuvwxyz" not in error


@pytest.mark.parametrize("scheme", ["json", "xml", "form", "jsons", "file", "exec", "syslog", "dbus", "http", "mqtt", "ftp", ""])
async def test_schemes_that_lead_elsewhere_are_refused(notifier: World, scheme: str) -> None:
    """Apprise knows ways to call anything; only chats and mail are let through."""
    async with receiver() as inner:
        await notifier.channels(_chat(f"{scheme}://{inner.url.removeprefix('http://')}/internal"))
        await notifier.happens(DeploymentSucceeded(), deployment="d1")
        await notifier.becomes("dead")
        assert inner.calls == []
    assert "is not for chat or mail" in await notifier.database.fetchval("SELECT error FROM attempts")


@pytest.mark.parametrize(
    "url",
    [
        "mailto://127.0.0.1:{port}?from=a@example.test&to=b@example.test&mode=insecure",
        "mailto://u:p@example.test:{port}?smtp=127.0.0.1&from=a@example.test&to=b@example.test&mode=insecure",
        "mmost://127.0.0.1:{port}/abcdefghijklmnopqrstuvwxyz",
        "ntfy://127.0.0.1:{port}/topic",
    ],
)
async def test_hosts_inside_are_refused(world: World, url: str) -> None:
    """A mail or chat server at a private address needs leave, as a webhook does."""
    async with receiver() as inner, world.start(allow_private_webhooks=False):
        await world.channels(_chat(url.format(port=inner.url.rpartition(":")[2])))
        await world.happens(DeploymentSucceeded(), deployment="d1")
        await world.becomes("dead")
        assert inner.calls == []
    assert "SLIPWAY_ALLOW_PRIVATE_WEBHOOKS" in await world.database.fetchval("SELECT error FROM attempts")
