"""Ends of change requests whose delivery got lost are found by asking their forge."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.webhooks.catalogue import Catalogue, Connection
from services.webhooks.connections import Connections
from services.webhooks.request_sweep import RequestSweep
from services.webhooks.store import Store
from services.webhooks.turns import Paused
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, FoundBy
from shared.guarded_http import guarded_client
from shared.outbound import PRIVATE_FORGES, Reach
from shared.outbox import Outbox
from shared.rpc import channel
from shared.sealing import Vault
from tests.component.webhooks.conftest import Webhooks
from tests.component.webhooks.forge_api import ForgeApi, serving_api
from tests.component.webhooks.forge_deliveries import send
from tests.polling import eventually

TOKEN = "canary-of-the-sweep"


@pytest.fixture
def forge() -> Iterator[ForgeApi]:
    """Its API answers."""
    with serving_api() as api:
        yield api


@pytest.fixture
async def sweep(webhooks: Webhooks) -> AsyncIterator[RequestSweep]:
    """It may call this machine."""
    settings = webhooks.settings
    async with (
        channel(settings.api_address, settings.tls_dir, "webhooks") as opened,
        guarded_client(Reach(PRIVATE_FORGES, ("127.0.0.1",))) as client,
    ):
        catalogue = Catalogue(opened)
        connections = Connections(webhooks.pool, Vault.from_file(settings.master_key_file), catalogue)
        yield RequestSweep(Store(webhooks.pool, Outbox("webhooks")), connections, catalogue, client)


async def _opened(webhooks: Webhooks, sweep: RequestSweep, kind: str, url: str, *, token: str = TOKEN) -> Connection:
    """Change request 7 was opened, and led to a preview."""
    address = f"https://{REPOSITORIES[kind]}.git"
    webhooks.api.connect(kind, forge=kind, clone_url=address, repository=REPOSITORIES[kind], api_url=url, token=token)
    await send(webhooks.http, kind, "request-of-fork-opened" if kind != "bitbucket" else "request-closed")
    change = await webhooks.coordinator.take_request()
    if kind == "bitbucket":  # its deliveries say no whole commit
        await webhooks.pool.execute(
            "UPDATE changes SET type = $1, message = (message::jsonb - 'merged')::text", ChangeRequestOpened.type_name()
        )
    await webhooks.coordinator.took(change, "01kdone")

    async def settled() -> bool:
        return bool(await webhooks.pool.fetchval("SELECT state = 'taken' FROM changes"))

    assert await eventually(settled)
    found = await sweep.connections.ask(kind)
    assert found is not None
    return found


REPOSITORIES = {
    "github": "github.com/acme/todo",
    "gitlab": "gitlab.example.com/acme/web/todo",
    "bitbucket": "bitbucket.org/acme/todo",
    "bitbucket-data-center": "bitbucket.example.com/scm/web/todo",
    "gitea": "git.example.com/acme/todo",
}


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
    webhooks: Webhooks, sweep: RequestSweep, forge: ForgeApi, kind: str, path: str,
    is_open: dict[str, object], is_over: dict[str, object], merged: bool,
) -> None:  # fmt: skip
    """As each forge says it; while it is open nothing is told."""
    connection = await _opened(webhooks, sweep, kind, forge.url)
    forge.said = is_open
    assert await sweep.sweep(connection) == []
    forge.said = is_over
    (found,) = await sweep.sweep(connection)
    assert isinstance(found, ChangeRequestClosed)
    assert (found.number, found.merged, found.found_by) == ("7", merged, FoundBy.SWEEP)
    assert (await webhooks.coordinator.take_request()).id == found.id
    assert await sweep.sweep(connection) == []
    assert [asked for asked, _ in forge.asked] == [path, path]
    assert all(TOKEN in shown for _, shown in forge.asked)


@pytest.mark.parametrize(("status", "said"), [(401, {}), (404, {}), (429, {}), (500, {}), (200, {"state": None}), (200, {})])
async def test_an_answer_that_says_nothing_takes_no_preview_away(
    webhooks: Webhooks, sweep: RequestSweep, forge: ForgeApi, status: int, said: dict[str, object]
) -> None:
    """A token that may not look sees "not found" on GitHub."""
    connection = await _opened(webhooks, sweep, "github", forge.url)
    forge.status, forge.said = status, said
    assert await sweep.sweep(connection) == []
    assert len(forge.asked) == 1


async def test_a_forge_s_rate_limit_is_waited_for(webhooks: Webhooks, sweep: RequestSweep, forge: ForgeApi) -> None:
    """It says for how long."""
    connection = await _opened(webhooks, sweep, "github", forge.url)
    forge.status, forge.headers = 429, {"Retry-After": "1234"}
    with pytest.raises(Paused) as paused:
        await sweep.sweep(connection)
    assert paused.value.wait.total_seconds() == 1234


async def test_without_a_token_nobody_is_asked(webhooks: Webhooks, sweep: RequestSweep, forge: ForgeApi) -> None:
    """The preview goes when its time to live is over."""
    connection = await _opened(webhooks, sweep, "github", forge.url, token="")
    forge.said = {"state": "closed"}
    assert await sweep.sweep(connection) == []
    assert forge.asked == []


async def test_a_delivery_that_comes_meanwhile_stands(webhooks: Webhooks, sweep: RequestSweep, forge: ForgeApi) -> None:
    """It was closed when the sweep looked, and is open again now."""
    connection = await _opened(webhooks, sweep, "github", forge.url)
    forge.said = {"state": "closed"}
    real = sweep.client.send

    async def reopened_meanwhile(*arguments: object, **named: object) -> object:
        answer = await real(*arguments, **named)  # type: ignore[arg-type]
        await send(webhooks.http, "github", "request-of-fork-opened", headers={"X-GitHub-Delivery": "opened-again"})
        return answer

    sweep.client.send = reopened_meanwhile  # type: ignore[method-assign,assignment]
    assert await sweep.sweep(connection) == []
    assert await webhooks.pool.fetchval("SELECT count(*) FROM changes WHERE type = $1", ChangeRequestClosed.type_name()) == 0
