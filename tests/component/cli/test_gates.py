"""`slipway gates` as people and programs call it."""

import asyncio

from embedded.subscribers import Admission
from shared.contracts.events import Event, GatePassed
from shared.contracts.requests import AnswerRequested
from tests.component.api.running import RunningApi, fetched, published
from tests.component.cli.conftest import Slipway, answer

ADD = ("gates", "add", "scanner", "--project", "todo", "--environment", "production", "--before")


async def test_a_gate_is_added_shown_listed_and_removed(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """`add` returns once its tool can read, and says all that it is given."""
    await api.with_todo()
    admission = Admission(api.home.subscribers, nats_url, "admin", "test", None)

    async def keep_admitting() -> None:
        while True:
            if admission.due(0):
                await admission.settle()
            await asyncio.sleep(0.05)

    admitting = asyncio.create_task(keep_admitting())
    try:
        added = await slipway(*ADD, "switch", "--deadline", "5m", "--default", "pass")
        assert added.exit_code == 0, added.output
        for line in (
            "User:         gate_main_scanner",
            "Password:     slwgate_",
            "Inbox prefix: _INBOX_gate.main_scanner",
            "Answers on:   slipway.gate.main.scanner",
            "or over HTTP: http",
        ):
            assert line in added.stdout
        assert "cannot read yet" not in added.stderr
        shown = answer(await slipway("gates", "show", "scanner", "--json"))
        assert (shown["ready"], shown["before"], shown["deadline_s"], shown["default"]) == (True, "switch", 300, "pass")
        listed = (await slipway("gates")).stdout
        assert "todo/production" in listed
        assert "5m" in listed
        changed = await slipway("gates", "change", "scanner", "--before", "deploy", "--deadline", "2h")
        assert changed.stdout == "scanner is asked before the deploy; deployments wait 2h, then: pass.\n"
        assert (await slipway("gates", "change", "scanner")).exit_code == 2
        renewed = await slipway("gates", "password", "scanner")
        assert renewed.stdout.startswith("Password: slwgate_")
        assert "not shown again" in renewed.stderr
        assert (await slipway("gates", "remove", "scanner")).stdout == "scanner is removed.\n"
    finally:
        admitting.cancel()
        await asyncio.gather(admitting, return_exceptions=True)
    assert answer(await slipway("gates", "list", "--project", "todo", "--json"))["items"] == []


async def test_somebody_answers_in_the_tools_place(slipway: Slipway, api: RunningApi, nats_url: str) -> None:
    """The command ends when the answer counted."""
    await api.with_todo()
    await api.made("/gates/main", name="scanner", project="todo", environment="production", before="deploy")
    answering = asyncio.create_task(slipway("gates", "answer", "scanner", "01kdeployment", "pass", "--reason", "looked at it"))
    request = AnswerRequested.decode(await fetched(nats_url, "coordinator-requests", "REQUESTS"))
    assert (request.result, request.reason) == ("pass", "looked at it")
    fact = GatePassed(gate="scanner", by=request.by, reason=request.reason)
    await published(nats_url, Event.of(fact, "main", "todo", "production", cause=request.id, deployment="01kdeployment"))
    done = await answering
    assert (done.exit_code, done.stdout) == (0, "01kdeployment: gate scanner: pass.\n")


async def test_what_cannot_be_is_said(slipway: Slipway, api: RunningApi) -> None:
    """A wrong word is wrong usage; too long a wait is refused with the limit."""
    await api.with_todo()
    assert (await slipway(*ADD, "lunch")).exit_code == 2
    assert (await slipway("gates", "answer", "scanner", "01k", "maybe")).exit_code == 2
    refused = await slipway(*ADD, "switch", "--deadline", "2h")
    assert refused.exit_code == 1
    assert "3600 s at most" in refused.stderr
