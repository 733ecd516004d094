"""Change requests whose deliveries got lost are found by asking their forge: opened, updated, over."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.coordinator.change_requests import why_no_news
from services.coordinator.store.open_requests import Taken
from services.webhooks.catalogue import Catalogue, Connection
from services.webhooks.connections import Connections
from services.webhooks.domain import LastOfRequest
from services.webhooks.forges import FORGES
from services.webhooks.request_sweep import RequestSweep
from services.webhooks.store import Store
from services.webhooks.turns import Paused
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated, FoundBy, RequestChange
from shared.forge_api import api_url_of
from shared.guarded_http import GuardedClient, guarded_client
from shared.outbound import PRIVATE_FORGES, Reach
from shared.outbox import Outbox
from shared.rpc import channel
from shared.sealing import Vault
from tests.component.webhooks.conftest import Running, Webhooks
from tests.component.webhooks.forge_api import ForgeApi, serving_api
from tests.component.webhooks.forge_deliveries import send
from tests.component.webhooks.neighbours import Api
from tests.forge_apis.contract import Contract
from tests.polling import eventually
from tests.unit.webhooks.forge_lists import LIST_PATHS, item, page

TOKEN = "canary-of-the-sweep"
HEAD = "e2b7f8410c6d5a493827161504f3e2d1c0b9a8f7"
NEXT = "c" * 40
AUTHOR = 583231
RECORD = "/repos/acme/todo/activity"
REPOSITORIES = {
    "github": "github.com/acme/todo",
    "gitlab": "gitlab.example.com/acme/web/todo",
    "bitbucket": "bitbucket.org/acme/todo",
    "bitbucket-data-center": "bitbucket.example.com/scm/web/todo",
    "gitea": "git.example.com/acme/todo",
}


@pytest.fixture
def forge() -> Iterator[ForgeApi]:
    """Its API answers; nothing is open there."""
    with serving_api() as api:
        yield api


@dataclass
class Sweeping:
    """The sweep of a webhooks, and what it asks with."""

    sweep: Callable[..., Any]
    client: GuardedClient
    connections: Connections
    store: Store


@pytest.fixture
async def sweeping(webhooks: Webhooks) -> AsyncIterator[Sweeping]:
    """It may call this machine."""
    async with _sweeping(webhooks, Store(webhooks.pool, Outbox("webhooks"))) as found:
        yield found


@asynccontextmanager
async def _sweeping(webhooks: Webhooks, store: Store) -> AsyncIterator[Sweeping]:
    settings = webhooks.settings
    async with (
        channel(settings.api_address, settings.tls_dir, "webhooks") as opened,
        guarded_client(Reach(PRIVATE_FORGES, ("127.0.0.1",))) as client,
    ):
        catalogue = Catalogue(opened)
        connections = Connections(webhooks.pool, Vault.from_file(settings.master_key_file), catalogue)
        sweep = RequestSweep(store, connections, catalogue, client, 60, 0.01)
        yield Sweeping(sweep.sweep, client, connections, store)


async def _connected(webhooks: Webhooks, sweeping: Sweeping, kind: str, forge: ForgeApi, *, token: str = TOKEN) -> Connection:
    """A connection whose project has previews of change requests into main."""
    webhooks.api.targets = ("refs/heads/main",)
    address = f"https://{REPOSITORIES[kind]}.git"
    webhooks.api.connect(kind, forge=kind, clone_url=address, repository=REPOSITORIES[kind], api_url=forge.url, token=token)
    forge.answers[LIST_PATHS[kind]] = page(kind)
    found = await sweeping.connections.ask(kind)
    assert found is not None
    return found


async def _opened(webhooks: Webhooks, sweeping: Sweeping, kind: str, forge: ForgeApi, *, token: str = TOKEN) -> Connection:
    """Change request 7 was opened, and led to a preview."""
    connection = await _connected(webhooks, sweeping, kind, forge, token=token)
    await send(webhooks.http, kind, "request-of-fork-opened" if kind != "bitbucket" else "request-closed")
    change = await webhooks.coordinator.take_request()
    if kind == "bitbucket":  # its deliveries say no whole commit
        await webhooks.pool.execute(
            "UPDATE changes SET type = $1, message = (message::jsonb - 'merged')::text", ChangeRequestOpened.type_name()
        )
    await _taken(webhooks, change)
    return connection


async def _taken(webhooks: Webhooks, change: RequestChange) -> None:
    await webhooks.coordinator.took(change, "01kdone")

    async def settled() -> bool:
        return bool(await webhooks.pool.fetchval("SELECT state = 'taken' FROM changes WHERE id = $1", change.id))

    assert await eventually(settled)


@pytest.mark.parametrize("kind", FORGES)
async def test_a_lost_opening_is_found_once(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi, kind: str) -> None:
    """Nobody told of them; a fork's stays one. Bitbucket Cloud's of forks cannot be fetched."""
    connection = await _connected(webhooks, sweeping, kind, forge)
    forge.answers[LIST_PATHS[kind]] = page(kind, item(kind), item(kind, 8, fork=True))
    forge.answers[f"/repositories/acme/todo/commit/{HEAD[:12]}"] = {"hash": HEAD}
    found = await sweeping.sweep(connection)
    assert [(one.number, one.fork, one.commit) for one in found] == [("7", False, HEAD), ("8", True, HEAD)][: 1 + (kind != "bitbucket")]
    for one in found:
        assert isinstance(one, ChangeRequestOpened)
        assert (one.target, one.repository, one.found_by) == ("refs/heads/main", REPOSITORIES[kind], FoundBy.SWEEP)
        assert (one.ref == "refs/heads/feature/due") == (not one.fork)
        assert (await webhooks.coordinator.take_request()).id == one.id
    assert await sweeping.sweep(connection) == []
    assert all(TOKEN in shown for _, shown in forge.asked)
    contract = Contract(kind)
    for path, _ in forge.asked:
        contract.takes("GET", f"{urlsplit(api_url_of(kind, 'https://git.example')).path}{path}")
    contract.assert_kept()


async def test_a_webhook_that_comes_later_makes_no_second_preview(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """The coordinator has the commit already, and the sweep goes on finding nothing."""
    connection = await _connected(webhooks, sweeping, "github", forge)
    forge.answers[LIST_PATHS["github"]] = page("github", item("github", fork=True))
    (found,) = await sweeping.sweep(connection)
    await webhooks.coordinator.take_request()
    assert (await send(webhooks.http, "github", "request-of-fork-opened")).status_code == 202
    told = await webhooks.coordinator.take_request()
    assert "already" in why_no_news(Taken(found.commit, found.arrival, closed=False, deployments=("d1",)), told)
    assert await sweeping.sweep(connection) == []


async def test_a_webhook_that_was_on_its_way_comes_first(webhooks: Webhooks, forge: ForgeApi) -> None:
    """It says whose it is: the sweep leaves it time, and finds nothing then."""

    class ToldMeanwhile(Store):
        """The webhook arrives between the sweep's first look and its second."""

        looks = 0

        async def known_requests(self, connection: str, repository: str) -> dict[str, LastOfRequest]:
            self.looks += 1
            if self.looks > 1:
                assert (await send(webhooks.http, "github", "request-of-fork-opened")).status_code == 202
            return await super().known_requests(connection, repository)

    async with _sweeping(webhooks, ToldMeanwhile(webhooks.pool, Outbox("webhooks"))) as sweeping:
        connection = await _connected(webhooks, sweeping, "github", forge)
        forge.answers[LIST_PATHS["github"]] = page("github", item("github", fork=True))
        assert await sweeping.sweep(connection) == []
    assert (await webhooks.coordinator.take_request()).found_by is FoundBy.DELIVERY


async def test_a_lost_update_is_found_by_its_pusher(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """The preview would stay at the old commit. Who pushed is asked of the forge's record; who changed the target no record says."""
    connection = await _connected(webhooks, sweeping, "github", forge)
    forge.answers[RECORD] = [_push(HEAD, AUTHOR), _push(NEXT, 8)]
    own = item("github")
    forge.answers[LIST_PATHS["github"]] = page("github", own)
    (opened,) = await sweeping.sweep(connection)
    forge.answers[LIST_PATHS["github"]] = page("github", own | {"head": own["head"] | {"sha": NEXT}})
    (updated,) = await sweeping.sweep(connection)
    assert isinstance(updated, ChangeRequestUpdated)
    assert (updated.commit, updated.pusher.id, updated.found_by) == (NEXT, "8", FoundBy.SWEEP)
    base = own["base"] | {"ref": "next"}
    forge.answers[LIST_PATHS["github"]] = page("github", own | {"head": own["head"] | {"sha": NEXT}, "base": base})
    (moved,) = await sweeping.sweep(connection)
    assert (moved.target, moved.pusher.id, moved.pusher.login) == ("refs/heads/next", None, None)
    assert opened.arrival < updated.arrival < moved.arrival
    assert await sweeping.sweep(connection) == []


def _push(commit: str, by: int, branch: str = "feature/due") -> dict[str, object]:
    return {"ref": f"refs/heads/{branch}", "after": commit, "actor": {"login": f"person{by}", "id": by}}


async def test_an_opening_has_no_more_rights_than_its_delivery(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """The author counts only for what the author has pushed: not where another pushed it, and not by another push. Else a person approves."""
    connection = await _connected(webhooks, sweeping, "github", forge)
    head = item("github")["head"]
    listed = [item("github", number, head=head | {"ref": branch}) for number, branch in enumerate("abcd")]
    forge.answers[LIST_PATHS["github"]] = page("github", *listed)
    forge.answers[RECORD] = [_push(HEAD, AUTHOR, "a"), _push(HEAD, 8, "b"), _push(NEXT, AUTHOR, "c")]
    found = await sweeping.sweep(connection)
    assert [one.pusher.id for one in found] == [str(AUTHOR), None, None, None]


async def test_one_that_was_opened_again_is_found(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """Its end was told; who opened it again is not said."""
    connection = await _connected(webhooks, sweeping, "gitea", forge)
    await send(webhooks.http, "gitea", "request-closed")
    closed = await webhooks.coordinator.take_request()
    forge.answers[LIST_PATHS["gitea"]] = page("gitea", item("gitea"))
    (found,) = await sweeping.sweep(connection)
    assert isinstance(found, ChangeRequestOpened)
    assert (found.pusher.id, found.number, found.arrival > closed.arrival) == (None, closed.number, True)


async def test_what_nothing_follows_is_not_found(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """Into another branch; and where a project has no previews its forge is not asked."""
    connection = await _connected(webhooks, sweeping, "gitea", forge)
    forge.answers[LIST_PATHS["gitea"]] = page("gitea", item("gitea"))
    webhooks.api.targets = ("refs/heads/release/*",)
    assert await sweeping.sweep(connection) == []
    assert len(forge.asked) == 1
    webhooks.api.targets = ()
    assert await sweeping.sweep(connection) == []
    assert len(forge.asked) == 1


async def test_pages_are_read_and_what_is_unchanged_is_not_sent_again(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """As many as ten on one page of GitHub; one without a commit keeps no other from being found."""
    connection = await _connected(webhooks, sweeping, "github", forge)
    address = f"{LIST_PATHS['github']}?state=open&sort=updated&direction=desc&per_page=10&page="
    every = [item("github", number) for number in range(20, 8, -1)]
    every[3]["head"] = None
    forge.answers |= {f"{address}1": page("github", *every[:10]), f"{address}2": page("github", *every[10:]), RECORD: []}
    forge.tagged = True
    found = await sweeping.sweep(connection)
    found += await sweeping.sweep(connection)
    assert [change.number for change in found] == ["20", "19", "18", "16", "15", "14", "13", "12", "11", "10", "9"]
    forge.asked.clear()
    forge.unchanged = 0
    assert await sweeping.sweep(connection) == []
    assert ([path for path, _ in forge.asked], forge.unchanged) == ([f"{address}1", f"{address}2"], 2)


async def test_a_lost_change_request_is_found_within_a_period_and_once(running: Running, api: Api, forge: ForgeApi) -> None:
    """In a running webhooks; and the forge is asked no oftener than twice a period, and once more where there is something."""
    every_s, path = 2.0, LIST_PATHS["gitea"]
    api.targets = ("refs/heads/main",)
    address = f"https://{REPOSITORIES['gitea']}.git"
    api.connect("gitea", forge="gitea", clone_url=address, repository=REPOSITORIES["gitea"], api_url=forge.url, token=TOKEN)
    forge.answers[path] = page("gitea")
    async with running(sweep_s=every_s, private_forges=("127.0.0.1",)) as webhooks:

        async def asked() -> bool:
            return bool(forge.asked)

        assert await eventually(asked)
        forge.answers[path] = page("gitea", item("gitea"))
        change = await webhooks.coordinator.take_request(within=every_s)
        assert (change.number, change.found_by) == ("7", FoundBy.SWEEP)
        assert await webhooks.coordinator.nothing(within=2 * every_s)
        assert len([shown for shown, _ in forge.asked if shown.startswith(path)]) <= 2 * 4 + 1


@pytest.mark.parametrize(
    ("kind", "path", "is_open", "is_over", "merged"),
    [
        ("github", "/repos/acme/todo/pulls/7", {"state": "open", "merged": False}, {"state": "closed", "merged": True}, True),
        ("gitlab", "/projects/acme%2Fweb%2Ftodo/merge_requests/7", {"state": "opened"}, {"state": "merged"}, True),
        ("bitbucket", "/repositories/acme/todo/pullrequests/7", {"state": "OPEN"}, {"state": "DECLINED"}, False),
        ("bitbucket-data-center", "/projects/web/repos/todo/pull-requests/7", {"state": "OPEN"}, {"state": "MERGED"}, True),
        ("gitea", "/repos/acme/todo/pulls/7", {"state": "open", "merged": False}, {"state": "closed", "merged": False}, False),
    ],
)
async def test_a_missed_end_is_found_once(
    webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi, kind: str, path: str,
    is_open: dict[str, object], is_over: dict[str, object], merged: bool,
) -> None:  # fmt: skip
    """One that is not listed is asked for, also where nothing follows change requests any more; while it is open nothing is told."""
    connection = await _opened(webhooks, sweeping, kind, forge)
    webhooks.api.targets = ()
    forge.answers[path] = is_open
    assert await sweeping.sweep(connection) == []
    forge.answers[path] = is_over
    (found,) = await sweeping.sweep(connection)
    assert isinstance(found, ChangeRequestClosed)
    assert (found.number, found.merged, found.found_by) == ("7", merged, FoundBy.SWEEP)
    assert (await webhooks.coordinator.take_request()).id == found.id
    assert await sweeping.sweep(connection) == []
    assert [asked for asked, _ in forge.asked if asked == path] == [path, path]
    assert all(TOKEN in shown for _, shown in forge.asked)


async def test_an_answer_that_says_nothing_takes_no_preview_away(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """It is not listed, and its own page says nothing either."""
    connection = await _opened(webhooks, sweeping, "github", forge)
    nested = b"[" * 100_000
    for said in ({"state": None}, {}, "closed", [{"state": "closed"}], nested, b'{"state":%b' % nested, b'{"state":%b}' % (b"1" * 5000)):
        forge.answers["/repos/acme/todo/pulls/7"] = said
        assert await sweeping.sweep(connection) == []
        assert forge.asked[-1][0] == "/repos/acme/todo/pulls/7"


async def test_a_forge_that_gives_no_list_is_asked_less_often(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """A token that may not look sees "not found" on GitHub; no preview goes for that. What it answers is said in the log."""
    connection = await _opened(webhooks, sweeping, "github", forge)
    for status, wait_s in ((301, 120), (401, 240), (404, 480), (500, 900), (503, 900)):
        forge.status = status
        with pytest.raises(Paused, match=f"GitHub answered {status}") as paused:
            await sweeping.sweep(connection)
        assert paused.value.wait.total_seconds() == wait_s
    assert len(forge.asked) == 5


async def test_a_forge_s_rate_limit_is_waited_for(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """It says for how long, also with the last answer that it gives for a while."""
    connection = await _opened(webhooks, sweeping, "github", forge)
    forge.headers = {"Retry-After": "1234"}
    for forge.status in (429, 200):
        forge.asked.clear()
        with pytest.raises(Paused) as paused:
            await sweeping.sweep(connection)
        assert (paused.value.wait.total_seconds(), len(forge.asked)) == (1234, 1)


async def test_without_a_token_nobody_is_asked(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """The preview goes when its time to live is over."""
    connection = await _opened(webhooks, sweeping, "github", forge, token="")
    assert await sweeping.sweep(connection) == []
    assert forge.asked == []


async def test_a_delivery_that_comes_meanwhile_stands(webhooks: Webhooks, sweeping: Sweeping, forge: ForgeApi) -> None:
    """It was closed when the sweep looked, and is open again now."""
    connection = await _opened(webhooks, sweeping, "github", forge)
    forge.answers["/repos/acme/todo/pulls/7"] = {"state": "closed"}
    real = sweeping.client.send

    async def reopened_meanwhile(method: str, url: str, *arguments: Any) -> object:
        answer = await real(method, url, *arguments)
        if url.endswith("/pulls/7"):
            await send(webhooks.http, "github", "request-of-fork-opened", headers={"X-GitHub-Delivery": "opened-again"})
        return answer

    sweeping.client.send = reopened_meanwhile  # type: ignore[method-assign,assignment]
    assert await sweeping.sweep(connection) == []
    assert await webhooks.pool.fetchval("SELECT count(*) FROM changes WHERE type = $1", ChangeRequestClosed.type_name()) == 0
