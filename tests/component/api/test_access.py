"""Who may do what over REST."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import httpx
import pytest

from services.api.adapters.auth import Auth
from shared.authorities import nobody
from shared.proto import auth_pb2 as pb
from tests.component.api.running import RunningApi, published
from tests.component.api.story import Story
from tests.component.api.test_archive import known
from tests.polling import eventually


def as_(api: RunningApi, token: str) -> httpx.AsyncClient:
    """A client of somebody else."""
    return httpx.AsyncClient(
        base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=20, verify=nobody()
    )


@pytest.mark.parametrize("token", ["", "slw_wrong", "ü"])
async def test_without_a_good_token_there_is_nothing_to_see(api: RunningApi, token: str) -> None:
    """401 with the scheme that is asked for."""
    headers = {b"Authorization": f"Bearer {token}".encode()} if token else {}
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1", verify=nobody()) as client:
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


async def test_an_admin_sees_tokens_only_of_people_who_are_theirs_to_manage(api: RunningApi) -> None:
    """An admin of one organization learns nothing of the tokens of another's people: the rule is that of making tokens."""
    await api.with_todo()
    await api.made("/organizations", slug="other")
    theirs = await api.person("admin", "organization/other")
    async with as_(api, theirs) as admin:
        own = (await admin.get("/me")).json()["id"]
        mains = (await api.client.get("/me")).json()["id"]
        assert len((await admin.get("/tokens")).json()["items"]) == 1
        assert len((await admin.get("/tokens", params={"person": own})).json()["items"]) == 1
        denied = await admin.get("/tokens", params={"person": mains})
        assert denied.status_code == 403
        assert "admin" in denied.json()["detail"]
        assert (await admin.get("/tokens", params={"person": "nobody"})).status_code == 404
    assert len((await api.client.get("/tokens", params={"person": own})).json()["items"]) == 1


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
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1", cookies={"slipway_token": api.token}, verify=nobody()) as browser:
        read = await browser.get("/organizations")
        written = await browser.post("/projects/main", json={"slug": "todo"})
    assert (read.status_code, written.status_code) == (200, 401)


async def test_who_makes_an_organization_is_its_admin(api: RunningApi) -> None:
    """They may do everything in it at once; the admin of another one may not."""
    await api.made("/organizations", slug="acme")
    await api.made("/projects/acme", slug="shop")
    seen = [item["slug"] for item in (await api.client.get("/organizations")).json()["items"]]
    assert seen == ["acme", "main"]
    assert (await api.client.post("/organizations", json={"slug": "acme"})).status_code == 409
    async with as_(api, await api.person("admin", "organization/main")) as other:
        assert (await other.post("/projects/acme", json={"slug": "theirs"})).status_code == 403


async def _roles(api: RunningApi, client: httpx.AsyncClient) -> list[str]:
    return list((await client.get("/me")).json()["roles"])


async def test_roles_end_with_what_they_are_on(api: RunningApi) -> None:
    """Nobody has a role on an organization or a project that is made again under a name that was free."""
    await api.made("/organizations", slug="acme")
    await api.made("/projects/acme", slug="shop")
    async with as_(api, await api.person("deployer", "project/acme/shop")) as deployer:
        assert await _roles(api, deployer) == ["project/acme/shop"]
        assert (await api.client.delete("/projects/acme/shop")).status_code == 204

        async def nothing() -> bool:
            return await _roles(api, deployer) == []

        assert await eventually(nothing)
        assert (await api.client.delete("/organizations/acme")).status_code == 204

        async def free() -> bool:
            return (await api.client.post("/organizations", json={"slug": "acme"})).status_code == 201

        assert await eventually(free)
        await api.made("/projects/acme", slug="shop")
        assert (await deployer.get("/projects/acme/shop")).status_code == 403
    entries = (await api.client.get("/audit/acme")).json()["items"]
    assert {(entry["action"], entry["rule"]) for entry in entries} >= {("role.revoke", "project acme/shop was deleted")}


async def test_a_name_is_taken_until_auth_has_heard_of_its_end(api: RunningApi) -> None:
    """While auth is away the roles of the former one are still there: 409 that says so."""
    await api.made("/organizations", slug="acme")
    await api.made("/projects/acme", slug="shop")
    pool = api.opened.parts.pool
    await pool.execute("INSERT INTO forgotten (resource, by, forgotten_at) VALUES ('project/acme/old', 'x', now())")
    lock = await pool.acquire()
    async with lock.transaction():
        await lock.execute("SELECT FROM forgotten FOR UPDATE")
        answers = [await api.client.post("/projects/acme", json={"slug": "old"})]
    await pool.release(lock)
    assert [answer.status_code for answer in answers] == [409]
    assert "deleted a moment ago" in answers[0].json()["detail"]


async def test_where_every_deployment_needs_approval_a_deployer_may_neither_approve_nor_end_that(api: RunningApi, nats_url: str) -> None:
    """The setting stops deployers, not admins; elsewhere deployers approve."""
    await api.made("/projects/main", slug="todo")
    await api.made("/environments/main/todo", slug="staging", kind="staging", needs_approval=True)
    story = Story(environment="staging")
    story.created()
    await published(nats_url, *story.events)
    await eventually(partial(known, api, story.deployment))
    async with as_(api, await api.person("deployer", "project/main/todo")) as deployer:
        denied = await deployer.post(f"/deployments/{story.deployment}/approve")
        ended = await deployer.patch("/environments/main/todo/staging", json={"needs_approval": False})
        assert (denied.status_code, ended.status_code) == (403, 403)
        assert "which asks for approval" in denied.json()["detail"]
        assert (await api.client.post(f"/deployments/{story.deployment}/approve")).status_code == 202
        assert (await api.client.patch("/environments/main/todo/staging", json={"needs_approval": False})).status_code == 200
        assert (await deployer.post(f"/deployments/{story.deployment}/approve")).status_code == 202


async def test_no_connection_is_held_while_auth_is_asked(api: RunningApi, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changing request that holds one would wait for auth and keep others from the database: here all are taken meanwhile."""
    await api.with_todo()
    story = Story()
    story.created()
    await published(nats_url, *story.events)
    await eventually(partial(known, api, story.deployment))
    pool, check = api.opened.parts.pool, Auth.check

    async def asked(auth: Auth, *words: str) -> pb.Decision:
        async with AsyncExitStack() as all_of_them, asyncio.timeout(5):
            for _ in range(pool.get_max_size()):
                await all_of_them.enter_async_context(pool.acquire())
        return await check(auth, *words)

    monkeypatch.setattr(Auth, "check", asked)
    key = {"Idempotency-Key": "one"}
    connection = {"name": "hub", "project": "todo", "forge": "github", "clone_url": "https://github.com/acme/todo.git"}
    environment = "/environments/main/todo/production"
    answers = [
        await api.client.post("/organizations", json={"slug": "acme"}, headers=key),
        await api.client.post("/projects/main", json={"slug": "shop"}, headers={"Idempotency-Key": "two"}),
        await api.client.post("/connections/main", json=connection),
        await api.client.post("/connections/main/hub/rotate"),
        await api.client.patch(environment, json={"name": "Live"}),
        await api.client.put(f"{environment}/variables/A", json={"value": "1"}),
        await api.client.put(f"{environment}/secrets/KEY", json={"value": "1"}),
        await api.client.put(f"{environment}/services/web", json={}),
        await api.client.post(f"/deployments/{story.deployment}/cancel", headers={"Idempotency-Key": "three"}),
        await api.client.post(f"{environment}/rollback"),
        await api.client.delete(environment),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 200, 200, 200, 200, 200, 202, 202, 202]


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
