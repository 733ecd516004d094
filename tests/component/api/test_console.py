"""The console's pages, and what every answer carries."""

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.authorities import nobody
from tests.component.api.running import RunningApi, published
from tests.component.api.story import rolled_back
from tests.polling import eventually


def browser(api: RunningApi) -> httpx.AsyncClient:
    """A client as a person's browser."""
    return httpx.AsyncClient(base_url=api.url, follow_redirects=True, verify=nobody())


async def test_the_openapi_document_is_valid(api: RunningApi) -> None:
    """OpenAPI 3.1, readable by everybody, with a name for each operation."""
    document = (await api.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation.get("description") for operation in operations)


async def test_a_person_logs_in_and_out(api: RunningApi) -> None:
    """Without a token the login page; the cookie is HttpOnly and SameSite=Strict; a wrong token is told so; no open redirect."""
    async with browser(api) as client:
        first = await client.get("/deployments")
        assert first.url.path == "/login"
        assert 'value="/deployments"' in first.text
        wrong = await client.post("/login", data={"token": "slw_wrong"})
        assert wrong.status_code == 401
        inside = await client.post("/login", data={"token": api.token, "back": "https://evil.example/"})
        assert inside.url == httpx.URL(f"{api.url}/")
        cookie = inside.history[0].headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        await client.post("/logout")
        assert (await client.get("/")).url.path == "/login"


async def test_a_deployment_s_page_shows_what_happened(api: RunningApi, nats_url: str) -> None:
    """Steps, failure and log are there, and nothing of a title is read as HTML."""
    await api.with_todo()
    story = rolled_back()
    await published(nats_url, *story.events)

    async def ended() -> bool:
        response = await api.client.get(f"/deployments/{story.deployment}")
        return response.status_code == 200 and bool(response.json()["deployment"]["ended_at"])

    await eventually(ended)
    async with browser(api) as client:
        await client.post("/login", data={"token": api.token})
        home = await client.get("/")
        listed = await client.get("/deployments", params={"project": "todo"})
        page = await client.get(f"/deployments/{story.deployment}")
    assert "rolled back" in home.text
    assert story.deployment in listed.text
    assert "check container web" in page.text
    assert "web answered 500 on /health" in page.text
    assert "Sort by &lt;b&gt;date&lt;/b&gt; ✓" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"


async def test_too_large_a_body_is_refused(api: RunningApi) -> None:
    """413 before it is read."""
    response = await api.client.post("/projects/main", content=b"x" * (1024 * 1024 + 1), headers={"Content-Type": "application/json"})
    assert response.status_code == 413


async def test_readiness_tells_of_each_part(api: RunningApi) -> None:
    """Bus, database and auth answer; metrics are there."""
    async with browser(api) as client:
        ready = await client.get("/readyz")
        metrics = await client.get("/metrics")
        unknown = await client.get("/api/v1/nothing")
    checks = ready.json()["checks"]
    assert {name: checks[name] for name in ("bus", "database", "auth")} == {"bus": "ok", "database": "ok", "auth": "ok"}
    assert not metrics.history
    assert "slipway_messages_handled_total" in metrics.text
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
