"""Who pushed what the sweep has found, as each forge's record says it."""

import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from services.webhooks.catalogue import Connection
from services.webhooks.pushers import Pushers
from shared.forge_api import api_url_of
from shared.guarded_http import guarded_client
from shared.outbound import PRIVATE_FORGES, Reach
from tests.component.webhooks.deliveries import A, B
from tests.component.webhooks.forge_api import ForgeApi, serving_api
from tests.forge_apis.contract import Contract

TOKEN = "geheim"
REF = "refs/heads/größe/1"
QUOTED = "refs%2Fheads%2Fgr%C3%B6%C3%9Fe%2F1"
RECORDS: dict[str, tuple[str, object]] = {
    "github": (
        f"/repos/acme/todo/activity?per_page=30&ref={QUOTED}",
        [
            {"ref": "refs/heads/main", "after": A, "actor": {"login": "eve", "id": 1}},
            {"ref": REF, "after": B, "actor": {"login": "eve", "id": 1}},
            {"ref": REF, "before": B, "after": A, "activity_type": "push", "actor": {"login": "ada", "id": 7}},
            {"ref": REF, "after": A, "actor": None},
        ],
    ),
    "gitlab": (
        "/projects/acme%2Ftodo/events?action=pushed&per_page=50",
        [
            {"action_name": "joined", "author": {"id": 1, "username": "eve"}},
            {"author": {"id": 1, "username": "eve"}, "push_data": {"ref_type": "tag", "ref": "größe/1", "commit_to": A}},
            {"author": {"id": 7, "username": "ada"}, "push_data": {"ref_type": "branch", "ref": "größe/1", "commit_to": A}},
        ],
    ),
    "bitbucket-data-center": (
        f"/projects/acme/repos/todo/ref-change-activities?limit=30&ref={QUOTED}",
        {
            "values": [
                {"user": {"name": "eve", "id": 1}, "refChange": {"ref": {"id": REF}, "toHash": B}},
                {"user": {"name": "ada", "id": 7}, "refChange": {"ref": {"id": REF}, "fromHash": B, "toHash": A}},
            ]
        },
    ),
    "gitea": (
        "/repos/acme/todo/activities/feeds?limit=50",
        [
            {"op_type": "create_issue", "act_user": {"login": "eve", "id": 1}, "ref_name": REF, "content": "1|Due"},
            {"op_type": "commit_repo", "act_user": {"login": "eve", "id": 1}, "ref_name": REF, "content": json.dumps({"HeadCommit": None})},
            {
                "op_type": "commit_repo",
                "act_user": {"login": "ada", "id": 7},
                "ref_name": REF,
                "content": json.dumps({"HeadCommit": {"Sha1": A}}),
            },
        ],
    ),
}


@pytest.fixture
def forge() -> Iterator[ForgeApi]:
    """Its API answers."""
    with serving_api() as api:
        yield api


@pytest.fixture
async def pushers() -> AsyncIterator[Pushers]:
    """They may call this machine."""
    async with guarded_client(Reach(PRIVATE_FORGES, ("127.0.0.1",))) as client:
        yield Pushers(client)


def _connection(forge: ForgeApi, kind: str = "github", token: str = TOKEN) -> Connection:
    return Connection(
        name="gh", organization="main", project="todo", forge=kind, repository="git.example/acme/todo", clone_url="https://x",
        api_url=forge.url, token=token, secrets=(), version=1,
    )  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
async def test_each_forge_keeps_a_record_of_pushes(forge: ForgeApi, pushers: Pushers, kind: str) -> None:
    """The account that brought this very ref to this very commit, with its immutable id; nobody for another commit."""
    path, forge.said = RECORDS[kind]
    found = await pushers.of(_connection(forge, kind), kind, REF, A)
    assert (found.forge, found.login, found.id, found.person) == (kind, "ada", "7", None)
    assert forge.asked[0][0] == path
    assert TOKEN in forge.asked[0][1]
    contract, target = Contract(kind), f"{urlsplit(api_url_of(kind, 'https://git.example')).path}{path}"
    contract.takes("GET", target)
    contract.answers("GET", target, 200, json.dumps(forge.said).encode())
    contract.assert_kept()
    unknown = await pushers.of(_connection(forge, kind), kind, REF, "c" * 40)
    assert (unknown.login, unknown.id) == (None, None)


@pytest.mark.parametrize(
    ("status", "said"), [(403, []), (404, {}), (500, []), (200, {}), (200, [[]]), (200, [{"ref": REF, "after": A}]), (200, None)]
)
async def test_what_a_forge_does_not_say_is_not_known(forge: ForgeApi, pushers: Pushers, status: int, said: object) -> None:
    """The sweep finds the push all the same; a person approves it."""
    forge.status, forge.said = status, said
    found = await pushers.of(_connection(forge), "github", REF, A)
    assert (found.forge, found.login, found.id) == ("github", None, None)


@pytest.mark.parametrize(("kind", "token"), [("github", ""), ("bitbucket", TOKEN)])
async def test_where_there_is_nothing_to_ask_nobody_is(forge: ForgeApi, pushers: Pushers, kind: str, token: str) -> None:
    """No token, or no record of pushes at that forge."""
    assert (await pushers.of(_connection(forge, kind, token), kind, REF, A)).login is None
    assert forge.asked == []
