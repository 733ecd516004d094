"""That a local forge's tests notice what a real one would not take, or not say."""

import json
from typing import Any

import pytest

from tests.forge_apis.contract import Contract

STATUSES: dict[str, tuple[str, dict[str, Any]]] = {
    "github": ("/api/v3/repos/acme/todo/statuses/abc", {"state": "success", "context": "slipway", "description": "done"}),
    "gitlab": ("/api/v4/projects/acme%2Ftodo/statuses/abc", {"state": "success", "name": "slipway", "description": "done"}),
    "bitbucket": (
        "/2.0/repositories/acme/todo/commit/abc/statuses/build",
        {"state": "SUCCESSFUL", "key": "slipway", "url": "https://slipway.example"},
    ),
    "bitbucket-data-center": (
        "/rest/api/latest/projects/acme/repos/todo/commits/abc/builds",
        {"state": "SUCCESSFUL", "key": "slipway", "url": "https://slipway.example"},
    ),
    "gitea": ("/api/v1/repos/acme/todo/statuses/abc", {"state": "success", "context": "slipway", "description": "done"}),
}


def _misfits(forge: str, method: str, target: str, body: object = None) -> list[str]:
    contract = Contract(forge)
    contract.takes(method, target, b"" if body is None else json.dumps(body).encode())
    return contract.misfits


@pytest.mark.parametrize("forge", STATUSES)
def test_each_forge_takes_a_status_as_it_publishes_it_and_nothing_else(forge: str) -> None:
    """A field that it does not know, a value that it does not take, a path that it does not have, a method, and a query."""
    path, body = STATUSES[forge]
    assert _misfits(forge, "POST", path, body) == []
    assert "sstate" in _misfits(forge, "POST", path, body | {"sstate": "success"})[0]
    assert "done-ish" in _misfits(forge, "POST", path, body | {"state": "done-ish"})[0]
    assert "no such operation" in _misfits(forge, "POST", f"{path}/more", body)[0]
    assert "no such operation" in _misfits(forge, "PUT", path, body)[0]
    assert "per_page" in _misfits(forge, "POST", f"{path}?per_page=1", body)[0]


def test_what_is_required_has_to_be_there_and_queries_have_their_types() -> None:
    """Numbers stand in a query as text."""
    assert "'state' is a required property" in _misfits("github", "POST", STATUSES["github"][0], {})[0]
    assert _misfits("github", "GET", "/repos/acme/todo/hooks?per_page=100") == []
    assert "per_page cannot be" in _misfits("github", "GET", "/repos/acme/todo/hooks?per_page=all")[0]


def test_a_local_forge_answers_with_what_the_real_one_has() -> None:
    """The status, each field that it names, and each one's type; what nobody reads may be missing. Refusals are not looked at."""
    contract, target = Contract("github"), "/repos/acme/todo/hooks"
    contract.answers("POST", target, 201, b'{"id": 1, "config": {"url": "https://slipway.example"}}')
    contract.answers("POST", target, 422, b'{"message": "Validation Failed"}')
    contract.assert_kept()
    contract.answers("POST", target, 200, b"{}")
    contract.answers("POST", target, 201, b'{"id": "1"}')
    contract.answers("POST", target, 201, b'{"id": 1, "uuid": "1"}')
    assert [said.partition(": ")[2] for said in contract.misfits] == [
        "it does not answer 200, but 201",
        "$.id: '1' is not of type 'integer'",
        "$: Additional properties are not allowed ('uuid' was unexpected)",
    ]
    with pytest.raises(AssertionError, match="not as github publishes its API"):
        contract.assert_kept()
