"""Asking that a webhook is told again."""

import pytest

from shared.contracts.events import Event, MessageRequestedAgain
from tests.component.api.running import RunningApi

SINCE = {"since": "2026-11-01T00:00:00Z"}


async def test_the_wish_is_an_event_that_names_who_asked(api: RunningApi) -> None:
    """A range without an end ends now."""
    await api.made("/channels/main", name="hook", kind="webhook", url="https://tool.example/in")
    assert (await api.client.post("/channels/main/hook/again", json={"event": "e1"})).status_code == 202
    assert (await api.client.post("/channels/main/hook/again", json=SINCE)).status_code == 202
    rows = await api.opened.parts.pool.fetch("SELECT body FROM outbox WHERE subject LIKE '%.message.requested_again' ORDER BY position")
    one, many = (MessageRequestedAgain.model_validate(Event.decode(row["body"]).data) for row in rows)
    assert (one.channel, one.event, one.since, one.until) == ("hook", "e1", None, None)
    assert many.since is not None
    assert many.until is not None
    assert many.until > many.since
    assert one.by == many.by != ""


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [("hook", {}, 422), ("hook", {"event": "e1", **SINCE}, 422), ("chat", {"event": "e1"}, 422), ("nothing", {"event": "e1"}, 404)],
)
async def test_what_cannot_be_told_again_is_said(api: RunningApi, name: str, body: dict[str, str], status: int) -> None:
    """Neither both nor none, and webhooks only."""
    await api.made("/channels/main", name="hook", kind="webhook", url="https://tool.example/in")
    await api.made("/channels/main", name="chat", kind="chat", url="slack://a/b/c")
    assert (await api.client.post(f"/channels/main/{name}/again", json=body)).status_code == status


async def test_a_viewer_may_not(api: RunningApi) -> None:
    """Who may change channels may."""
    await api.made("/channels/main", name="hook", kind="webhook", url="https://tool.example/in")
    token = {"Authorization": f"Bearer {await api.person('viewer', 'organization/main')}"}
    assert (await api.client.post("/channels/main/hook/again", json=SINCE, headers=token)).status_code == 403
