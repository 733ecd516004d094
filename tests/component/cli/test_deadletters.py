"""`slipway deadletters` as people and programs call it."""

import re

from shared.letters import Delivered, bury
from tests.component.api.running import RunningApi, service_bus
from tests.component.cli.conftest import Slipway, answer
from tests.polling import eventually


async def test_letters_are_listed_shown_retried_and_dropped(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """What waits is listed; a retried and a dropped one only with --all; secrets are never printed."""
    none = await slipway("deadletters")
    assert none.output.startswith("No dead letters wait.")
    async with service_bus(nats_url, "notifier") as bus:
        for number in (1, 2):
            headers = {"ce-type": "slipway.ImageBuilt.v9", "ce-id": f"e{number}"}
            body = b'{"url": "https://bot:canary@forge.example/x", "secrets": {"values": {"A": "canary"}}}'
            await bury(
                bus, Delivered("EVENTS", "notifier-events", "slipway.evt.main.todo.production.image.built", headers, body), ValueError("x")
            )

    async def two() -> bool:
        return len((await api.client.get("/deadletters")).json()["items"]) == 2

    await eventually(two)
    listed = await slipway("deadletters")
    assert re.search(r"^1 +dead +notifier-events +ImageBuilt.v9 +1 .*ValueError: x", listed.output, re.MULTILINE)
    shown = await slipway("deadletters", "show", "1")
    assert "canary" not in shown.output
    assert '"A": "•••"' in shown.output
    assert "ce-type: slipway.ImageBuilt.v9" in shown.output
    assert answer(await slipway("deadletters", "retry", "1", "--json"))["items"][0]["state"] == "retried"
    assert (await slipway("deadletters", "drop", "2")).stdout == "Dropped: 2.\n"
    assert answer(await slipway("deadletters", "list", "--json"))["items"] == []
    everything = answer(await slipway("deadletters", "list", "--all", "--json"))["items"]
    assert [(item["position"], item["state"]) for item in everything] == [(1, "retried"), (2, "dropped")]
    again = await slipway("deadletters", "retry", "2", "1")
    assert (again.exit_code, again.stdout) == (1, "Sent again: 1.\n")
    assert "was dropped" in again.stderr
    unknown = await slipway("deadletters", "show", "99")
    assert (unknown.exit_code, "no dead letter 99" in unknown.stderr) == (1, True)
