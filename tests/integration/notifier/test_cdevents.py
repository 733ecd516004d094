"""CDEVENTS, as an outside tool reads it."""

import json

import nats

from shared.contracts.events import CatalogueChanged
from shared.contracts.facts import DeploymentAuthorized
from shared.messages import new_id
from tests.integration.notifier.conftest import World
from tests.polling import eventually


async def test_a_deployment_is_told_to_outside_tools_once(notifier: World, nats_url: str) -> None:
    """Durably, with headers and subject of CloudEvents; the same event again adds nothing."""
    deployment = await notifier.deployment()
    started = await notifier.happens(DeploymentAuthorized(rule="admin"), deployment=deployment, sequence=2)
    await notifier.coordinator.publish(started.subject, started, message_id=new_id())
    await notifier.happens(CatalogueChanged(kind="environment", name="production", action="created"))
    client = await nats.connect(nats_url, user="admin", password="test")
    reader = await client.jetstream().pull_subscribe("cdevents.main.todo.>", durable="tool", stream="CDEVENTS")
    messages = []

    async def three() -> bool:
        messages.extend(await reader.fetch(3, timeout=5))
        return len(messages) >= 3

    await eventually(three, within=60)
    assert {message.subject for message in messages} == {
        "cdevents.main.todo.pipelinerun.queued",
        "cdevents.main.todo.pipelinerun.started",
        "cdevents.main.todo.environment.created",
    }
    (queued,) = (message for message in messages if message.subject.endswith("queued"))
    assert queued.headers is not None
    assert queued.headers["ce-id"] == queued.headers["Nats-Msg-Id"] == f"{deployment}.pipelinerun.queued"
    assert json.loads(queued.data)["subject"]["id"] == deployment
    rows = await notifier.database.fetch("SELECT id FROM outbox WHERE stream = 'CDEVENTS'")
    assert len(rows) == len(messages) == 3
    await client.close()
