"""`slipway connections` and `slipway deliveries` over a living api and a living webhooks: every forge can be connected, and what it sends seen."""

import httpx
import pytest

from services.webhooks.forges import FORGES
from shared.bus import Bus
from shared.contracts.changes import Change, ChangePushed, FoundBy, RequestChange, decode_change
from shared.contracts.events import ChangeIgnored, Event
from shared.messages import type_of
from tests.component.api.running import RunningApi, service_bus
from tests.component.cli.conftest import Slipway, answer
from tests.component.webhooks.forge_deliveries import send, standard_webhooks
from tests.polling import eventually

CLONE_URLS = {
    "github": "https://github.com/acme/todo.git",
    "gitlab": "https://gitlab.example.com/acme/web/todo.git",
    "bitbucket": "https://bitbucket.org/acme/todo.git",
    "bitbucket-data-center": "https://bitbucket.example.com/scm/web/todo.git",
    "gitea": "https://git.example.com/acme/todo.git",
}


async def _connected(slipway: Slipway, forge: str, *words: str, given: str | None = None) -> str:
    """A connection named as its forge; answers the secret for its hook."""
    made = await slipway("connections", "add", forge, CLONE_URLS[forge], "--forge", forge, "-p", "main/todo", *words, "--json", given=given)
    return str(answer(made)["secret"])


async def _next(bus: Bus) -> Change:
    subscription = await bus.js.pull_subscribe_bind("coordinator-changes", "CHANGES")
    message = (await subscription.fetch(1, timeout=10))[0]
    await message.ack()
    return decode_change(type_of(message.headers), message.data)


async def _next_change(bus: Bus) -> ChangePushed:
    change = await _next(bus)
    assert isinstance(change, ChangePushed)
    return change


async def _next_request(bus: Bus) -> RequestChange:
    change = await _next(bus)
    assert isinstance(change, RequestChange)
    return change


@pytest.mark.parametrize("forge", FORGES)
async def test_a_forge_is_connected_and_its_delivery_seen(slipway: Slipway, hooks: httpx.AsyncClient, forge: str) -> None:
    """With the secret that was printed its push is taken; the list says what is on its way, and of what came again nothing."""
    secret = await _connected(slipway, forge)
    assert (await send(hooks, forge, "push", secret=secret)).status_code == 202
    assert (await send(hooks, forge, "push", secret=secret)).json()["status"] == "known"
    assert (await send(hooks, forge, "other-event", secret=secret)).status_code == 200
    newest, oldest = answer(await slipway("deliveries", "list", "--json"))["items"]
    assert (newest["changes"], "Slipway does not act on the event" in newest["reason"]) == ([], True)
    assert (oldest["forge"], oldest["project"], oldest["reason"]) == (forge, "todo", None)
    assert [(change["ref"], change["state"]) for change in oldest["changes"]] == [("refs/heads/main", "pending")]
    listed = (await slipway("deliveries")).stdout
    assert "1 on the way" in listed
    assert "Slipway does not act on the event" in listed


async def test_a_delivery_is_shown_with_what_became_of_it(slipway: Slipway, hooks: httpx.AsyncClient, nats_url: str) -> None:
    """Also why nothing was deployed; the body is there, signatures are not."""
    sent = await send(hooks, "github", "push", secret=await _connected(slipway, "github"))
    async with service_bus(nats_url, "coordinator") as bus:
        change = await _next_change(bus)
        reason = "no environment of main/todo follows refs/heads/main"
        fact = ChangeIgnored(change=change.id, reason=reason, ref=change.ref, commit=change.commit)
        event = Event.of(fact, "main", "todo")
        await bus.publish(event.subject, event)

    async def settled() -> str:
        shown = (await slipway("deliveries", "show", sent.json()["delivery"])).stdout
        assert f"refs/heads/main at 9ad5e7c04bb1: ignored: {reason}" in shown
        return shown

    shown = await eventually(settled)
    assert "x-github-event: push" in shown
    assert "signature" not in shown
    assert '"message": "Show what is due\\n\\nToday first."' in shown
    unknown = await slipway("deliveries", "show", "none")
    assert (unknown.exit_code, "There is no delivery none" in unknown.stderr) == (1, True)


async def test_a_redelivery_by_hand_is_a_new_change_of_who_asked(slipway: Slipway, hooks: httpx.AsyncClient, nats_url: str) -> None:
    """Also of a commit that asked for no deployment; the next redelivery is one more."""
    sent = await send(hooks, "gitlab", "push-skipped", secret=await _connected(slipway, "gitlab"))
    delivery = sent.json()["delivery"]
    assert sent.json()["changes"] == []
    first = answer(await slipway("deliveries", "redeliver", delivery, "--json"))
    second = answer(await slipway("deliveries", "redeliver", delivery, "--json"))
    assert (len(first["changes"]), len(second["changes"]), first["reason"]) == (1, 1, "")
    async with service_bus(nats_url, "coordinator") as bus:
        changes = sorted([await _next_change(bus), await _next_change(bus)], key=lambda change: change.arrival)
    assert [change.id for change in changes] == [*first["changes"], *second["changes"]]
    assert {change.found_by for change in changes} == {FoundBy.REDELIVERY}
    assert changes[0].pusher.person
    shown = answer(await slipway("deliveries", "show", delivery, "--json"))["changes"]
    assert [(change["state"], change["found_by"]) for change in shown] == [
        ("ignored", "delivery"),
        ("pending", "redelivery"),
        ("pending", "redelivery"),
    ]


async def test_a_change_request_is_redelivered_too(slipway: Slipway, hooks: httpx.AsyncClient, nats_url: str) -> None:
    """With the rights of whoever asks; what cannot be fetched stays where it is, with the reason."""
    sent = await send(hooks, "github", "request-of-fork-opened", secret=await _connected(slipway, "github"))
    delivery = sent.json()["delivery"]
    again = answer(await slipway("deliveries", "redeliver", delivery, "--json"))
    async with service_bus(nats_url, "coordinator") as bus:
        first, second = sorted([await _next_request(bus), await _next_request(bus)], key=lambda change: change.arrival)
    assert ([first.id], [second.id]) == (sent.json()["changes"], again["changes"])
    assert (second.found_by, bool(second.pusher.person), bool(first.pusher.person)) == (FoundBy.REDELIVERY, True, False)
    shown = answer(await slipway("deliveries", "show", delivery, "--json"))["changes"]
    assert [change["ref"] for change in shown] == ["refs/pull/7/head"] * 2
    sent = await send(hooks, "bitbucket", "request-of-fork-opened", secret=await _connected(slipway, "bitbucket"))
    done = await slipway("deliveries", "redeliver", sent.json()["delivery"])
    assert "it cannot be fetched" in done.stderr


async def test_a_redelivery_of_what_says_nothing_deploys_nothing(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """A deletion stays one; the answer says why."""
    sent = await send(hooks, "gitea", "branch-deleted", secret=await _connected(slipway, "gitea"))
    done = await slipway("deliveries", "redeliver", sent.json()["delivery"])
    assert done.stdout == "Read again: nothing to deploy.\n"
    assert "the ref was deleted" in done.stderr


async def test_gitlabs_own_signing_token_is_given_to_the_connection(slipway: Slipway, hooks: httpx.AsyncClient) -> None:
    """GitLab generates it: a person brings it, when connecting or for a rotation."""
    key, other = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "whsec_QUJDREVGMDEyMzQ1Njc4OTAxMjM0NTY3ODlhYmNkZWY="
    assert await _connected(slipway, "gitlab", "--secret", given=f"{key}\n") == key
    assert (await send(hooks, "gitlab", "push", secret=key, sign=standard_webhooks)).status_code == 202
    rotated = await slipway("connections", "rotate", "gitlab", "--secret", "--json", given=f"{other}\n")
    assert answer(rotated)["secret"] == other
    for file, secret in (("push-forced", other), ("tag-annotated", key)):
        assert (await send(hooks, "gitlab", file, secret=secret, sign=standard_webhooks)).status_code == 202, file


async def test_deliveries_are_seen_by_who_may_deploy_there(slipway: Slipway, api: RunningApi, hooks: httpx.AsyncClient) -> None:
    """A viewer sees none; a deployer of the project sees the connection's; somebody of elsewhere finds nothing."""
    sent = await send(hooks, "github", "push", secret=await _connected(slipway, "github"))
    delivery = sent.json()["delivery"]
    await api.made("/projects/main", slug="shop", name="Shop")
    people = {
        "viewer": await api.person("viewer", "project/main/todo"),
        "deployer": await api.person("deployer", "project/main/todo"),
        "stranger": await api.person("admin", "project/main/shop"),
    }
    codes = {}
    for name, token in people.items():
        headers = {"Authorization": f"Bearer {token}"}
        answers = [
            await api.client.get("/deliveries/main?connection=github", headers=headers),
            await api.client.get(f"/deliveries/main/{delivery}", headers=headers),
            await api.client.post(f"/deliveries/main/{delivery}/redeliver", headers=headers),
        ]
        codes[name] = [one.status_code for one in answers]
    assert codes == {"viewer": [403, 403, 403], "deployer": [200, 200, 202], "stranger": [403, 403, 403]}
