"""Channels that show deployments on a forge."""

import pytest

from tests.component.api.running import RunningApi


async def _asked(api: RunningApi, **fields: str) -> tuple[int, dict[str, object]]:
    response = await api.client.post("/channels/main", json={"name": "statuses", "kind": "forge", "secret": "token", **fields})
    return response.status_code, response.json()


async def test_a_forges_channel_knows_where_its_api_is(api: RunningApi) -> None:
    """A repository may be given by its address."""
    status, made = await _asked(api, forge="gitlab", repository="https://gitlab.acme.example/acme/web/todo.git")
    assert (status, made["repository"], made["api_url"]) == (201, "gitlab.acme.example/acme/web/todo", "https://gitlab.acme.example/api/v4")
    assert made["secret"] == ""


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"forge": "sourcehut", "repository": "git.sr.ht/acme/todo"}, "bad-forge"),
        ({"forge": "bitbucket", "repository": "elsewhere.example/acme/todo"}, "api-unknown"),
        ({"forge": "github"}, "incomplete"),
    ],
)
async def test_what_could_never_tell_is_refused(api: RunningApi, fields: dict[str, str], problem: str) -> None:
    """It says what is missing."""
    status, said = await _asked(api, **fields)
    assert (status, str(said["type"]).rpartition("/")[2]) == (422, problem)
