"""Logging in: a registry that answers as the specification has it."""

import base64
import json
from pathlib import Path

import httpx
import pytest

from services.builder.registry import Registry, RegistryRefused
from shared.work import Unavailable

DIGEST = "sha256:" + "0" * 64
LOGIN = "Basic " + base64.b64encode(b"me:pass:word").decode()


@pytest.fixture
def docker_config(tmp_path: Path) -> Path:
    """A folder with credentials for one host."""
    entry = {"auth": base64.b64encode(b"me:pass:word").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": entry}}))
    return tmp_path


class TokenRegistry:
    """A registry that gives tokens for one scope to whoever logs in."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers a request."""
        self.requests.append(f"{request.method} {request.url}")
        given = request.headers.get("Authorization", "")
        if request.url.host == "auth.example.com":
            scope = request.url.params["scope"]
            return httpx.Response(200, json={"token": f"for {scope}"}) if given == LOGIN else httpx.Response(401)
        repository = request.url.path.split("/manifests/")[0].removeprefix("/v2/")
        if given != f"Bearer for repository:{repository}:pull":
            challenge = f'Bearer realm="https://auth.example.com/token",service="r",scope="repository:{repository}:pull"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return httpx.Response(200, json={"config": {"size": 1}}, headers={"Docker-Content-Digest": DIGEST, "Content-Type": "x/y"})


async def test_a_token_is_fetched_once(docker_config: Path) -> None:
    """With our login, for the scope that the registry names; it is used again."""
    server = TokenRegistry()
    registry = Registry("registry.example.com/team", docker_config, httpx.MockTransport(server))
    assert registry.repository("main", "todo", "web") == "team/main/todo/web"
    for _ in range(2):
        stored = await registry.find("team/main/todo/web", "k")
        assert stored is not None
        assert stored.digest == DIGEST
    await registry.close()
    assert len([request for request in server.requests if "auth.example.com" in request]) == 1
    assert server.requests[0] == "GET https://registry.example.com/v2/team/main/todo/web/manifests/k"
    assert len(server.requests) == 4


async def test_a_login_that_is_refused(tmp_path: Path) -> None:
    """The failure says where to look, and nothing of the login."""
    registry = Registry("registry.example.com", tmp_path, httpx.MockTransport(TokenRegistry()))
    with pytest.raises(RegistryRefused, match="SLIPWAY_DOCKER_CONFIG") as refused:
        await registry.find("main/todo/web", "k")
    assert refused.value.failure.code == "registry_refused"
    await registry.close()


async def test_basic_login(docker_config: Path) -> None:
    """A registry that asks for Basic gets it, and no other host does."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") == LOGIN:
            return httpx.Response(200, json={"tags": ["a"]})
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    registry = Registry("registry.example.com", docker_config, httpx.MockTransport(answer))
    assert await registry.tags("main/todo/web") == ("a",)
    await registry.close()
    other = Registry("other.example.com", docker_config, httpx.MockTransport(answer))
    with pytest.raises(RegistryRefused):
        await other.tags("main/todo/web")
    await other.close()


async def test_a_registry_in_trouble_is_waited_for(tmp_path: Path) -> None:
    """An error of the server's own is no answer."""
    registry = Registry("registry.example.com", tmp_path, httpx.MockTransport(lambda _: httpx.Response(503, text="busy")))
    with pytest.raises(Unavailable, match="503"):
        await registry.find("main/todo/web", "k")
    await registry.close()
