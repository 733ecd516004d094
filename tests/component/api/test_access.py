"""Who may do what over REST."""

import httpx
import pytest

from tests.component.api.running import RunningApi
from tests.polling import eventually


def as_(api: RunningApi, token: str) -> httpx.AsyncClient:
    """A client of somebody else."""
    return httpx.AsyncClient(base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=20)


@pytest.mark.parametrize("token", ["", "slw_wrong", "ü"])
async def test_without_a_good_token_there_is_nothing_to_see(api: RunningApi, token: str) -> None:
    """401 with the scheme that is asked for."""
    headers = {b"Authorization": f"Bearer {token}".encode()} if token else {}
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1") as client:
        response = await client.get("/organizations", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_viewer_is_told_the_rule_and_the_denial_is_audited(api: RunningApi) -> None:
    """403 names the rule; the audit log has the denial."""
    await api.with_todo()
    token = await api.person("viewer", "project/main/todo")
    async with as_(api, token) as viewer:
        denied = await viewer.put("/environments/main/todo/production/variables/A", json={"value": "1"})
        seen = await viewer.get("/environments/main/todo/production/variables")
    assert denied.status_code == 403
    assert "deployer" in denied.json()["detail"]
    assert seen.status_code == 200

    async def audited() -> bool:
        entries = (await api.client.get("/audit/main")).json()["items"]
        return any(entry["action"] == "variable.write" and not entry["allowed"] for entry in entries)

    assert await eventually(audited)


async def test_somebody_with_a_role_in_one_environment_sees_that_one_only(api: RunningApi) -> None:
    """Lists leave out what a person has no role in."""
    await api.with_todo()
    await api.made("/environments/main/todo", slug="staging", kind="staging")
    await api.made("/projects/main", slug="other")
    token = await api.person("deployer", "environment/main/todo/staging")
    async with as_(api, token) as deployer:
        projects = (await deployer.get("/projects/main")).json()["items"]
        environments = (await deployer.get("/environments/main/todo")).json()["items"]
        production = await deployer.get("/environments/main/todo/production")
        nowhere = await deployer.get("/environments/main/todo/nowhere")
    assert [item["slug"] for item in projects] == ["todo"]
    assert [item["slug"] for item in environments] == ["staging"]
    assert (production.status_code, nowhere.status_code) == (403, 403)


async def test_production_s_secrets_ask_for_more(api: RunningApi) -> None:
    """A deployer reveals those of staging, and neither production's nor the project's."""
    await api.with_todo()
    await api.made("/environments/main/todo", slug="staging", kind="staging")
    for path in ("/environments/main/todo/staging", "/environments/main/todo/production", "/projects/main/todo"):
        await api.client.put(f"{path}/secrets/KEY", json={"value": "v"})
    token = await api.person("deployer", "project/main/todo")
    async with as_(api, token) as deployer:
        staging = await deployer.post("/environments/main/todo/staging/secrets/KEY/reveal")
        production = await deployer.post("/environments/main/todo/production/secrets/KEY/reveal")
        project = await deployer.post("/projects/main/todo/secrets/KEY/reveal")
    assert (staging.status_code, production.status_code, project.status_code) == (200, 403, 403)


async def test_a_cookie_changes_nothing(api: RunningApi) -> None:
    """The console's cookie is good for reading only: a form on another page would send it too."""
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1", cookies={"slipway_token": api.token}) as browser:
        read = await browser.get("/organizations")
        written = await browser.post("/projects/main", json={"slug": "todo"})
    assert (read.status_code, written.status_code) == (200, 401)


async def test_a_key_makes_a_post_happen_once(api: RunningApi) -> None:
    """The same key and body give the first answer again, secret and all; another body is refused; another person is another key."""
    await api.with_todo()
    body = {"name": "hub", "project": "todo", "forge": "github", "clone_url": "https://github.com/acme/todo.git"}
    first = await api.client.post("/connections/main", json=body, headers={"Idempotency-Key": "one"})
    again = await api.client.post("/connections/main", json=body, headers={"Idempotency-Key": "one"})
    other = await api.client.post("/connections/main", json=body | {"name": "x"}, headers={"Idempotency-Key": "one"})
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    token = await api.person("viewer", "project/main/todo")
    async with as_(api, token) as viewer:
        theirs = await viewer.post("/connections/main", json=body, headers={"Idempotency-Key": "one"})
    assert theirs.status_code == 403


async def test_a_failed_post_leaves_its_key_free(api: RunningApi) -> None:
    """What was refused may be tried again with the same key once it can be done."""
    body = {"slug": "production"}
    headers = {"Idempotency-Key": "later"}
    before = await api.client.post("/environments/main/todo", json=body, headers=headers)
    await api.made("/projects/main", slug="todo")
    after = await api.client.post("/environments/main/todo", json=body, headers=headers)
    assert (before.status_code, after.status_code) == (404, 201)
