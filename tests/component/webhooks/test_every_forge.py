"""Deliveries of every forge through the real intake: what becomes a change, and what is recorded with its reason."""

import base64
import json

import asyncpg
import pytest

from services.webhooks.forges import FORGES
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened
from tests.component.webhooks.conftest import Webhooks, undecided
from tests.component.webhooks.deliveries import SECRET, A, deliver, push, signed
from tests.component.webhooks.forge_deliveries import send, standard_webhooks
from tests.component.webhooks.neighbours import Api
from tests.unit.webhooks.forge_cases import delivery

HEAD = "9ad5e7c04bb1f2a3958674635241302f1e0d9c8b"
KEY = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
REPOSITORIES = {
    "github": "https://github.com/acme/todo.git",
    "gitlab": "https://gitlab.example.com/acme/web/todo.git",
    "bitbucket": "https://bitbucket.org/acme/todo.git",
    "bitbucket-data-center": "https://bitbucket.example.com/scm/web/todo.git",
    "gitea": "https://git.example.com/acme/todo.git",
}
SERVERS = {
    "github": "github",
    "gitlab": "gitlab:gitlab.example.com",
    "bitbucket": "bitbucket",
    "bitbucket-data-center": "bitbucket-data-center:bitbucket.example.com",
    "gitea": "gitea:git.example.com",
}


@pytest.fixture(autouse=True)
def connections(api: Api) -> None:
    """A connection of each forge, named as its forge, for the repository that its deliveries tell of."""
    for forge, clone_url in REPOSITORIES.items():
        identity = clone_url.removeprefix("https://").removesuffix(".git")
        api.connect(forge, forge=forge, clone_url=clone_url, repository=identity)


async def _row(webhooks: Webhooks, query: str) -> asyncpg.Record:
    found = await webhooks.pool.fetchrow(query)
    assert found is not None
    return found


@pytest.mark.parametrize("forge", FORGES)
async def test_a_push_becomes_a_change(webhooks: Webhooks, forge: str) -> None:
    """The coordinator hears of it, with repository and address as the connection has them, and the account that pushed."""
    answer = await send(webhooks.http, forge, "push")
    assert answer.status_code == 202
    change = await webhooks.coordinator.take()
    assert answer.json()["changes"] == [change.id]
    assert (change.ref, change.commit) == ("refs/heads/main", HEAD)
    assert (change.clone_url, change.connection) == (REPOSITORIES[forge], forge)
    assert (change.title, change.pusher.forge, bool(change.pusher.id)) == ("Show what is due", SERVERS[forge], True)


@pytest.mark.parametrize("clone_url", ["https://gitlab.com/acme/web/todo.git", "https://other.example.com/acme/web/todo.git"])
async def test_whose_account_pushed_the_connection_says_and_not_the_delivery(webhooks: Webhooks, clone_url: str) -> None:
    """Its payload names gitlab.example.com: whoever knows one hook's secret pushes as nobody of another server."""
    webhooks.api.connect("any", forge="gitlab", clone_url=clone_url)
    await send(webhooks.http, "gitlab", "push", to="any")
    expected = "gitlab" if "gitlab.com" in clone_url else "gitlab:other.example.com"
    assert (await webhooks.coordinator.take()).pusher.forge == expected


@pytest.mark.parametrize("forge", FORGES)
async def test_a_wrong_secret_is_refused_and_nothing_stored(webhooks: Webhooks, forge: str) -> None:
    """Whoever does not know the secret does not fill the database either."""
    assert (await send(webhooks.http, forge, "push", secret="wrong")).status_code == 401
    assert await webhooks.pool.fetchval("SELECT count(*) FROM deliveries") == 0


@pytest.mark.parametrize("forge", FORGES)
async def test_a_redelivery_is_taken_once(webhooks: Webhooks, forge: str) -> None:
    """Also where another push came between, so that it is no longer the last of its ref."""
    first = await send(webhooks.http, forge, "push")
    await send(webhooks.http, forge, "push-forced")
    again = await send(webhooks.http, forge, "push")
    assert (again.status_code, again.json()["status"], again.json()["delivery"]) == (200, "known", first.json()["delivery"])
    assert await webhooks.pool.fetchval("SELECT count(*) FROM changes") == 2


async def test_a_delivery_through_two_hooks_is_taken_once(webhooks: Webhooks) -> None:
    """A hook of the repository and one of the organization: the event has one id, and it would lead back where it came later."""
    await send(webhooks.http, "github", "push")
    await send(webhooks.http, "github", "push-forced")
    other = await send(webhooks.http, "github", "push", headers={"X-GitHub-Hook-ID": "2"})
    assert (other.status_code, other.json()["status"]) == (200, "known")
    assert await webhooks.pool.fetchval("SELECT count(*) FROM changes") == 2


@pytest.mark.parametrize("forge", ["bitbucket", "bitbucket-data-center"])
async def test_a_delivery_of_several_refs_becomes_several_changes(webhooks: Webhooks, forge: str) -> None:
    """Each ref that stands somewhere is a change of its own; the one that was deleted is said in the reason."""
    answer = await send(webhooks.http, forge, "push-of-several")
    assert (answer.status_code, len(answer.json()["changes"])) == (202, 2)
    assert answer.json()["reason"] == "the ref was deleted: there is nothing to deploy"
    changes = [await webhooks.coordinator.take() for _ in range(2)]
    assert {change.id for change in changes} == set(answer.json()["changes"])
    assert "refs/heads/main" in {change.ref for change in changes}


@pytest.mark.parametrize("forge", FORGES)
async def test_an_annotated_tag_leads_to_its_commit(webhooks: Webhooks, forge: str) -> None:
    """The tag is an object of its own; what is built is the commit."""
    await send(webhooks.http, forge, "tag-annotated")
    change = await webhooks.coordinator.take()
    assert (change.ref, change.commit) == ("refs/tags/v2.0", HEAD)


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize(("file", "reason"), [("branch-deleted", "the ref was deleted: there is nothing to deploy")])
async def test_a_deletion_is_recorded_with_its_reason(webhooks: Webhooks, forge: str, file: str, reason: str) -> None:
    """It is answered with 2xx and deploys nothing."""
    answer = await send(webhooks.http, forge, file)
    assert (answer.status_code, answer.json()["changes"]) == (202, [])
    assert await webhooks.pool.fetchval("SELECT reason FROM deliveries") == reason


@pytest.mark.parametrize("forge", FORGES)
async def test_what_leads_to_no_change_is_recorded_with_its_reason(webhooks: Webhooks, forge: str) -> None:
    """Events that Slipway does not read: 200, lest the forge disable the hook."""
    file = "other-event"
    answer = await send(webhooks.http, forge, file)
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    stored = await _row(webhooks, "SELECT id, reason, body FROM deliveries")
    assert (stored["id"], stored["reason"]) == (answer.json()["delivery"], answer.json()["reason"])
    assert stored["body"]
    assert (await send(webhooks.http, forge, file)).json()["status"] == "known"


async def test_a_change_request_of_another_repository_is_recorded_as_such(webhooks: Webhooks) -> None:
    """A group's hook sends those of all its projects."""
    webhooks.api.connect("other", forge="gitlab", repository="gitlab.example.com/acme/shop")
    reason = (await send(webhooks.http, "gitlab", "request-merged", to="other")).json()["reason"]
    assert reason.endswith("it is of gitlab.example.com/acme/web/todo, and the connection is for gitlab.example.com/acme/shop")


@pytest.mark.parametrize("forge", FORGES)
async def test_a_commit_that_asks_for_nothing_is_known_and_not_deployed(webhooks: Webhooks, forge: str) -> None:
    """The ref stands there now: the sweep must not take it for a push that was missed. The next push is deployed as ever."""
    answer = await send(webhooks.http, forge, "push-skipped")
    assert (answer.status_code, answer.json()["changes"]) == (202, [])
    assert "asks for no deployment" in answer.json()["reason"]
    assert await webhooks.coordinator.nothing()
    change = await _row(webhooks, "SELECT c.state, c.reason, h.commit, c.delivery FROM heads h JOIN changes c ON c.id = h.change")
    assert (change["state"], change["commit"], change["delivery"]) == ("ignored", HEAD, answer.json()["delivery"])
    assert change["reason"] == answer.json()["reason"]
    await send(webhooks.http, forge, "push-forced")
    assert (await webhooks.coordinator.take()).commit != HEAD


async def test_a_tag_whose_commit_is_not_told_is_left_to_the_sweep(webhooks: Webhooks) -> None:
    """Old versions of Bitbucket Data Center name the tag object only; nothing is known of the ref, so the sweep finds it."""
    answer = await send(webhooks.http, "bitbucket-data-center", "tag-of-version-7")
    assert (answer.status_code, answer.json()["changes"]) == (202, [])
    assert answer.json()["reason"].endswith("the sweep reads it from the repository")
    assert await webhooks.pool.fetchval("SELECT count(*) FROM heads WHERE change IS NOT NULL") == 0


async def test_gitlabs_signing_token_and_plain_token_hold_during_a_rotation(webhooks: Webhooks) -> None:
    """From the token to the signing token: both are taken until the rotation is finished, and then the new one only."""
    webhooks.api.connect("both", forge="gitlab", secrets=(KEY, "geheim"))
    by_token = await send(webhooks.http, "gitlab", "push", to="both")
    signed = await send(webhooks.http, "gitlab", "push-forced", to="both", secret=KEY, sign=standard_webhooks, without=("Idempotency-Key",))
    assert (by_token.status_code, signed.status_code) == (202, 202)
    again = await send(webhooks.http, "gitlab", "push-forced", to="both", secret=KEY, sign=standard_webhooks, without=("Idempotency-Key",))
    assert again.json()["status"] == "known"
    webhooks.api.connect("new", forge="gitlab", secrets=(KEY,))
    assert (await send(webhooks.http, "gitlab", "push", to="new")).status_code == 401


async def test_a_delivery_that_cannot_be_read_is_recorded_and_may_come_again(webhooks: Webhooks) -> None:
    """It is refused, so that the forge shows it; once it can be read the same delivery is taken."""
    assert (await deliver(webhooks.http, {"ref": "refs/heads/main"}, delivery="d-1")).status_code == 400
    stored = await _row(webhooks, "SELECT key, reason FROM deliveries")
    assert stored["reason"].startswith("it could not be read: the payload lacks after, repository.full_name")
    assert (await deliver(webhooks.http, push(A), delivery="d-1")).status_code == 202


FORKS = {"github": "refs/pull/7/head", "gitlab": "refs/merge-requests/7/head", "bitbucket-data-center": "refs/pull-requests/7/from"}
FORKS["gitea"] = FORKS["github"]


@pytest.mark.parametrize("forge", [forge for forge in FORGES if forge != "bitbucket"])
async def test_a_change_request_becomes_a_change_once(webhooks: Webhooks, forge: str) -> None:
    """A fork's commit is where the forge keeps it; a redelivery is no further change."""
    answer = await send(webhooks.http, forge, "request-of-fork-opened")
    assert (answer.status_code, answer.json()["status"]) == (202, "stored")
    change = await webhooks.coordinator.take_request()
    assert isinstance(change, ChangeRequestOpened)
    assert (change.number, change.fork, change.ref, change.target) == ("7", True, FORKS[forge], "refs/heads/main")
    assert answer.json()["changes"] == [change.id]
    assert (await send(webhooks.http, forge, "request-of-fork-opened")).json()["status"] == "known"
    assert await webhooks.pool.fetchval("SELECT count(*) FROM changes") == 1


@pytest.mark.parametrize("forge", FORGES)
async def test_a_merged_change_request_is_told_of_also_where_its_commit_is_not(webhooks: Webhooks, forge: str) -> None:
    """Bitbucket Cloud says the first digits only: of what is over nothing is fetched."""
    await send(webhooks.http, forge, "request-merged")
    change = await webhooks.coordinator.take_request()
    assert isinstance(change, ChangeRequestClosed)
    assert (change.number, change.merged) == ("7", True)


async def test_bitbucket_cloud_s_commit_is_told_by_the_push_that_brought_it(webhooks: Webhooks) -> None:
    """Without one the delivery is recorded with the reason; with one the change has the whole commit."""
    first = await send(webhooks.http, "bitbucket", "request-opened")
    assert "first digits" in first.json()["reason"]
    _, payload = delivery("bitbucket", "request-opened")
    digits = payload["pullrequest"]["source"]["commit"]["hash"]
    whole = digits + "0" * (40 - len(digits))
    await webhooks.pool.execute(
        "INSERT INTO heads (connection, repository, ref, commit, arrival, change) VALUES ($1, $2, $3, $4, 1, 'pushed')",
        "bitbucket", await webhooks.pool.fetchval("SELECT repository FROM connections WHERE name = 'bitbucket'"),
        f"refs/heads/{payload['pullrequest']['source']['branch']['name']}", whole,
    )  # fmt: skip
    await send(webhooks.http, "bitbucket", "request-opened", headers={"X-Request-UUID": "another"})
    change = await webhooks.coordinator.take_request()
    assert (change.commit, change.fork) == (whole, False)


async def test_bitbucket_cloud_s_commit_is_told_by_a_push_that_is_judged_with_it(webhooks: Webhooks) -> None:
    """The forge sends both in the same moment."""
    _, request = delivery("bitbucket", "request-opened")
    headers, payload = delivery("bitbucket", "push")
    source = request["pullrequest"]["source"]
    whole = source["commit"]["hash"].ljust(40, "0")
    payload["push"]["changes"][0]["new"] |= {"name": source["branch"]["name"]}
    payload["push"]["changes"][0]["new"]["target"]["hash"] = whole
    body = json.dumps(payload).encode()
    async with undecided(webhooks.settings.postgres_dsn.get_secret_value()):
        await deliver(webhooks.http, push(A), delivery="first")  # it is judged alone, and those behind it together
        sent = await webhooks.http.post("/hooks/bitbucket", content=body, headers=headers | {"X-Hub-Signature": signed(body, SECRET)})
        assert (sent.status_code, (await send(webhooks.http, "bitbucket", "request-opened")).status_code) == (202, 202)
    assert [(await webhooks.coordinator.take()).commit for _ in range(2)] == [A, whole]
    assert (await webhooks.coordinator.take_request()).commit == whole
