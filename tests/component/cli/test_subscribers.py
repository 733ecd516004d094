"""`slipway subscribers` as people and programs call it."""

import asyncio

import pytest

from embedded.subscribers import Admission
from tests.component.api.running import RunningApi
from tests.component.cli.conftest import Slipway, answer


async def test_a_subscriber_is_added_shown_listed_and_removed(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """`add` returns once it can read, and says all that a client is given."""
    admission = Admission(api.home.subscribers, nats_url, "admin", "test", None)

    async def keep_admitting() -> None:
        while True:
            if admission.due(0):
                await admission.settle()
            await asyncio.sleep(0.05)

    admitting = asyncio.create_task(keep_admitting())
    try:
        added = await slipway("subscribers", "add", "scanner", "--filter", "cdevents.main.>", "--since", "24h")
        assert added.exit_code == 0, added.output
        for line in (
            "User:         sub_main_scanner",
            "Stream:       CDEVENTS",
            "Inbox prefix: _INBOX_sub_main_scanner",
            "Password:     slwsub_",
        ):
            assert line in added.stdout
        assert "cannot read yet" not in added.stderr
        shown = answer(await slipway("subscribers", "show", "scanner", "--json"))
        assert (shown["ready"], shown["waiting"], shown["filters"]) == (True, 0, ["cdevents.main.>"])
        assert "scanner" in (await slipway("subscribers")).stdout
        assert (await slipway("subscribers", "remove", "scanner")).stdout == "scanner is removed.\n"
    finally:
        admitting.cancel()
        await asyncio.gather(admitting, return_exceptions=True)
    assert answer(await slipway("subscribers", "list", "--json"))["items"] == []


@pytest.mark.parametrize("words", [("--since", "yesterday"), ("--since", "24h", "--from-start")])
async def test_a_start_that_is_none_is_refused(slipway: Slipway, words: tuple[str, ...]) -> None:
    """With what can be written instead."""
    refused = await slipway("subscribers", "add", "scanner", "--filter", "slipway.evt.main.>", *words)
    assert refused.exit_code == 1
    assert "24h" in refused.stderr or "since" in refused.stderr


async def test_a_filter_of_another_organization_is_refused(slipway: Slipway) -> None:
    """And what may stand there is said."""
    refused = await slipway("subscribers", "add", "scanner", "--filter", "slipway.evt.other.>")
    assert refused.exit_code == 1
    assert "slipway.evt.main.>" in refused.stderr
