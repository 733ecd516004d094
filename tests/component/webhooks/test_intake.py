"""Deliveries over HTTP: what is stored, what is refused, and what reaches the coordinator."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import asyncpg
import pytest

from services.webhooks.deliveries import Deliveries
from shared.contracts.changes import FoundBy
from shared.postgres import Pool
from tests.component.webhooks.conftest import Running, Webhooks, catalogue_changed
from tests.component.webhooks.deliveries import A, B, deliver, example, push
from tests.component.webhooks.neighbours import Api
from tests.polling import eventually


async def test_a_signed_push_is_stored_and_becomes_a_change(webhooks: Webhooks) -> None:
    """A push is answered 202 once it is stored, and the coordinator hears of it."""
    answer = await deliver(webhooks.http, example("push-branch-created"))
    assert answer.status_code == 202
    change = await webhooks.coordinator.take()
    assert answer.json()["changes"] == [change.id]
    assert (change.organization, change.project, change.connection) == ("main", "todo", "gh")
    assert change.repository == "github.com/Codertocat/Hello-World"
    assert (change.ref, change.commit) == ("refs/heads/master", "6113728f27ae82c7b1a177c8d03f9e96e0adf246")
    assert (change.pusher.login, change.pusher.id) == ("Codertocat", "21031067")
    assert (change.title, change.author, change.found_by) == ("Initial commit", "Codertocat", FoundBy.DELIVERY)


async def test_a_redelivery_is_no_second_change(webhooks: Webhooks) -> None:
    """GitHub delivers again under the same id: it is answered with 2xx and leads to nothing."""
    assert (await deliver(webhooks.http, push(A))).status_code == 202
    again = await deliver(webhooks.http, push(A))
    assert (again.status_code, again.json()["status"]) == (200, "known")
    await webhooks.coordinator.take()
    assert await webhooks.coordinator.nothing()


async def test_the_same_commit_from_two_hooks_is_one_change(webhooks: Webhooks) -> None:
    """Another delivery that says the same of the ref is recorded with its reason."""
    await deliver(webhooks.http, push(A), delivery="d-1")
    second = await deliver(webhooks.http, push(A), delivery="d-2", headers={"X-GitHub-Hook-ID": "2"})
    assert (second.status_code, second.json()["changes"], second.json()["reason"]) == (202, [], "this change is known already")


async def test_going_back_and_forth_is_three_changes(webhooks: Webhooks) -> None:
    """A, then B, then A again: three changes, each newer than the one before."""
    for number, commit in enumerate((A, B, A)):
        await deliver(webhooks.http, push(commit), delivery=f"d-{number}")
    changes = [await webhooks.coordinator.take() for _ in range(3)]
    changes.sort(key=lambda change: change.arrival)
    assert [change.commit for change in changes] == [A, B, A]
    assert len({change.id for change in changes}) == 3


async def test_an_annotated_tag_leads_to_its_commit(webhooks: Webhooks) -> None:
    """`after` is the tag object: what is built is the head commit."""
    payload = push(B, ref="refs/tags/v1.0") | {"after": A}
    payload["head_commit"]["id"] = B
    await deliver(webhooks.http, payload)
    change = await webhooks.coordinator.take()
    assert (change.ref, change.commit) == ("refs/tags/v1.0", B)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (example("push-tag-deleted"), "the ref was deleted: there is nothing to deploy"),
        (push(A, before=A), "the head did not move"),
        (push(A, ref="refs/heads/a..b"), "the ref has a name that git does not allow, or a longer one than Slipway takes"),
    ],
)
async def test_a_push_that_leads_nowhere_is_stored_with_its_reason(webhooks: Webhooks, payload: object, reason: str) -> None:
    """Deletions, heads that did not move and impossible refs are recorded and deploy nothing."""
    answer = await deliver(webhooks.http, payload)
    assert (answer.status_code, answer.json()["changes"], answer.json()["reason"]) == (202, [], reason)
    assert await webhooks.pool.fetchval("SELECT reason FROM deliveries") == reason


async def test_a_push_of_another_repository_than_the_connections_is_recorded_only(webhooks: Webhooks) -> None:
    """An organization's hook sends pushes of all repositories; a connection is for one."""
    webhooks.api.connect("other", repository="github.com/acme/todo", clone_url="https://github.com/acme/todo.git")
    answer = await deliver(webhooks.http, push(A), to="other")
    assert answer.json()["reason"].endswith("and the connection is for github.com/acme/todo")


async def test_pings_and_other_events_are_ignored_with_a_reason(webhooks: Webhooks) -> None:
    """GitHub counts anything but 2xx as a failure of the hook."""
    ping = await deliver(webhooks.http, example("ping-repository"), event="ping")
    other = await deliver(webhooks.http, {"action": "opened"}, event="issues")
    assert ping.status_code == other.status_code == 200
    assert ping.json()["reason"].startswith("pong: ")
    assert "'issues'" in other.json()["reason"]


async def test_githubs_default_content_type_is_read_too(webhooks: Webhooks) -> None:
    """A hook that was made without choosing JSON sends a form with a field `payload`."""
    body = urlencode({"payload": json.dumps(push(A))}).encode()
    answer = await deliver(webhooks.http, body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 202


async def test_what_is_wrong_is_said_in_a_problem_document(webhooks: Webhooks) -> None:
    """Unknown connection 404, bad signature 401, no JSON 400, too large 413, wrong method 405."""
    answers = {
        404: await deliver(webhooks.http, push(A), to="nobody"),
        401: await deliver(webhooks.http, push(A), secret="wrong"),
        400: await deliver(webhooks.http, b"{not json"),
        405: await webhooks.http.get("/hooks/gh"),
    }
    for status, answer in answers.items():
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await webhooks.http.post("/hooks/gh", content=bytes(26 * 1024 * 1024))).status_code == 413
    stored = await webhooks.pool.fetch("SELECT reason FROM deliveries")
    assert [row["reason"].partition(":")[0] for row in stored] == ["it could not be read"]


async def test_a_body_without_declared_length_is_cut_off_at_the_limit(webhooks: Webhooks) -> None:
    """Chunked bodies are counted while they arrive."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(27):
            yield bytes(1024 * 1024)

    answer = await webhooks.http.post("/hooks/gh", content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize("text", ["Grüße 🚀 \u202e", "nul \x00 in it", "lone \ud800 surrogate", "\U0001f600" * 500])
async def test_any_text_is_taken(webhooks: Webhooks, text: str) -> None:
    """Messages, authors and logins may hold anything that JSON can."""
    payload = push(A)
    payload["head_commit"] |= {"message": text, "author": {"name": text}}
    payload["sender"]["login"] = text
    assert (await deliver(webhooks.http, payload)).status_code == 202
    change = await webhooks.coordinator.take()
    assert len(change.title) <= 200
    assert "\x00" not in change.title


async def test_a_branch_may_have_any_name_that_git_allows(webhooks: Webhooks) -> None:
    """Unicode in refs arrives as it was sent."""
    ref = "refs/heads/fürs-büro/日本語-🚀"
    await deliver(webhooks.http, push(A, ref=ref))
    assert (await webhooks.coordinator.take()).ref == ref


async def test_a_rotated_secret_holds_beside_the_former_one(webhooks: Webhooks) -> None:
    """Several secrets hold; one that was made a moment ago is asked of api when a signature does not fit."""
    assert (await deliver(webhooks.http, push(A))).status_code == 202
    webhooks.api.connect(secrets=("neu", "geheim"))

    async def taken() -> bool:
        return (await deliver(webhooks.http, push(B), delivery="d-2", secret="neu")).status_code in (200, 202)

    assert await eventually(taken, within=30, every=0.3)
    assert (await deliver(webhooks.http, push(A), delivery="d-3", secret="geheim")).status_code == 202


async def test_intake_goes_on_while_api_is_away(running: Running) -> None:
    """Connections are mirrored, encrypted, in webhooks' own schema."""
    async with running() as first:
        assert (await deliver(first.http, push(A))).status_code == 202
        stored = await first.pool.fetchval("SELECT sealed FROM connections WHERE name = 'gh'")
        assert b"geheim" not in stored
        first.api.connections.clear()
        first.api.away = True
    async with running() as second:
        assert (await deliver(second.http, push(B), delivery="d-2")).status_code == 202


async def test_a_change_of_the_catalogue_reaches_the_mirror(webhooks: Webhooks) -> None:
    """A connection that was removed takes no more deliveries."""
    assert (await deliver(webhooks.http, push(A))).status_code == 202
    del webhooks.api.connections["gh"]
    await catalogue_changed(webhooks, "deleted")

    async def gone() -> bool:
        return (await deliver(webhooks.http, push(B), delivery="d-9")).status_code == 404

    assert await eventually(gone)


async def test_whoever_takes_the_name_of_a_removed_connection_sees_none_of_its_deliveries(running: Running, api: Api) -> None:
    """They stay those of the project that they came to, and are there again where that takes the name again."""
    seen: dict[str, list[str]] = {}
    for organization in ("main", "other", "main"):
        api.connect(organization=organization)
        async with running() as webhooks:

            async def known(pool: Pool = webhooks.pool, wanted: str = organization) -> bool:
                return bool(await pool.fetchval("SELECT organization FROM connections") == wanted)

            assert await eventually(known)
            assert (await deliver(webhooks.http, push(A), delivery=f"of {organization}")).is_success
            pages = await Deliveries(webhooks.pool).newest(organization, None, "", 10)
            seen[organization] = [page.key for page in pages]
    assert seen == {"main": ["of main"], "other": ["of other"]}


async def test_strangers_guesses_do_not_reach_api_each(webhooks: Webhooks) -> None:
    """Unknown names are asked of api ten times at once, then once a second."""
    before = webhooks.api.asked
    for number in range(50):
        await deliver(webhooks.http, push(A), to=f"guess-{number}")
    assert webhooks.api.asked - before <= 15


async def test_what_cannot_be_stored_is_answered_503_and_can_be_delivered_again(webhooks: Webhooks) -> None:
    """The forge is asked to come again, and then it works."""
    await deliver(webhooks.http, push(A))
    await _read_only(webhooks, "on")
    refused = await deliver(webhooks.http, push(B), delivery="d-2")
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    await _read_only(webhooks, "off")
    assert (await deliver(webhooks.http, push(B), delivery="d-2")).status_code == 202


async def test_what_a_silent_database_does_not_store_is_answered_503_in_time(webhooks: Webhooks) -> None:
    """A database that hangs keeps no forge waiting for more than the ten seconds that GitHub waits; then it works again."""
    await deliver(webhooks.http, push(A))
    database = await webhooks.pool.fetchval("SELECT current_database()")
    backends = await webhooks.pool.fetch("SELECT pid FROM pg_stat_activity WHERE datname = $1", database)
    since = time.monotonic()
    for backend in backends:
        os.kill(backend["pid"], signal.SIGSTOP)
    try:
        refused = await deliver(webhooks.http, push(B), delivery="d-2")
    finally:
        for backend in backends:
            os.kill(backend["pid"], signal.SIGCONT)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert time.monotonic() - since < 10

    async def works() -> bool:
        return (await deliver(webhooks.http, push(B), delivery="d-2")).status_code in (200, 202)

    assert await eventually(works)


async def _read_only(webhooks: Webhooks, switch: str) -> None:
    """As a standby is: every new connection of webhooks' pool reads only, or writes again."""
    dsn = webhooks.settings.postgres_dsn.get_secret_value()
    admin = await asyncpg.connect(dsn, server_settings={"default_transaction_read_only": "off"})
    await admin.execute(f"ALTER DATABASE {await admin.fetchval('SELECT current_database()')} SET default_transaction_read_only = {switch}")
    await admin.close()
    await webhooks.pool.expire_connections()
