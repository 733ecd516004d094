"""Deploy keys: put at a forge and taken away there, read-only, over its API; and where the forge is cloned from over SSH.

https://docs.github.com/rest/deploy-keys/deploy-keys, https://docs.gitlab.com/api/deploy_keys/,
https://developer.atlassian.com/cloud/bitbucket/rest/api-group-deployments/ (deploy-keys),
https://developer.atlassian.com/server/bitbucket/rest/latest/api-group-authentication/ (access keys), Gitea's swagger (repoCreateKey).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import BaseModel

from services.api.forges.calls import Calls, in_time, read
from services.api.forges.port import Body
from shared.forge_api import ForgeRepository
from shared.guarded_http import GuardedClient
from shared.problems import Problem

_SCP = re.compile(r"(?:([^@/\s]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^\s]+)")


class _Id(BaseModel):
    id: int


class _AccessKey(BaseModel):
    key: _Id


class _Link(BaseModel):
    name: str
    href: str


class _Links(BaseModel):
    clone: list[_Link]


class _Repository(BaseModel):
    """All forges' ways to say it."""

    ssh_url: str = ""
    ssh_url_to_repo: str = ""
    links: _Links | None = None


@dataclass(frozen=True)
class _Form:
    """How one forge speaks of deploy keys. Paths are below the repository's."""

    path: str
    body: Callable[[str, str], Body]
    """From title and public key."""
    made: Callable[[bytes], str] = lambda body: str(_Id.model_validate_json(body).id)
    api: tuple[str, str] = ("", "")
    """Where its keys have an API of their own: the part of the address that is another."""

    def url(self, repository: ForgeRepository, key: str = "") -> str:
        """Of all keys, or of one."""
        return repository.url(f"{self.path}/{quote(key, safe='')}".removesuffix("/")).replace(*self.api, 1)


FORMS: Mapping[str, _Form] = {
    "github": _Form("keys", lambda title, key: {"title": title, "key": key, "read_only": True}),
    "gitlab": _Form("deploy_keys", lambda title, key: {"title": title, "key": key, "can_push": False}),
    "bitbucket": _Form("deploy-keys", lambda title, key: {"label": title, "key": key}),
    "bitbucket-data-center": _Form(
        "ssh",
        lambda title, key: {"key": {"label": title, "text": key}, "permission": "REPO_READ"},
        lambda body: str(_AccessKey.model_validate_json(body).key.id),
        ("/rest/api/", "/rest/keys/"),
    ),
    "gitea": _Form("keys", lambda title, key: {"title": title, "key": key, "read_only": True}),
}


class DeployKeys:
    """The deploy keys of repositories. What the forge refuses is raised as `Problem`."""

    def __init__(self, client: GuardedClient) -> None:
        self._calls = Calls(client, "add deploy keys")

    async def install(self, repository: ForgeRepository, title: str, key: str) -> str:
        """Gives the forge the key, to read with; its id there."""
        form = FORMS[repository.kind]
        async with in_time(repository):
            answer = await self._calls.call("POST", repository, form.url(repository), form.body(title, key))
            return read(form.made, answer, repository)

    async def remove(self, repository: ForgeRepository, key_id: str) -> bool:
        """Takes it away; whether it was there."""
        async with in_time(repository):
            url = FORMS[repository.kind].url(repository, key_id)
            return (await self._calls.call("DELETE", repository, url, good_too=(404,))).status != 404

    async def ssh_address(self, repository: ForgeRepository) -> str:
        """Where the forge says that the repository is cloned from over SSH."""
        async with in_time(repository):
            said = read(_Repository.model_validate_json, await self._calls.call("GET", repository, repository.url("")), repository)
        links = {link.name: link.href for link in said.links.clone} if said.links else {}
        address = as_url(said.ssh_url or said.ssh_url_to_repo or links.get("ssh", ""))
        if not address.startswith("ssh://"):
            detail = f"{repository.forge} says no address to clone over SSH: is SSH switched on there? Else say it: clone_url ssh://…"
            raise Problem(422, "no-ssh", detail)
        return address


def as_url(address: str) -> str:
    """`git@host:path` as `ssh://git@host/path`."""
    found = _SCP.fullmatch(address)
    return f"ssh://{found[1] or 'git'}@{found[2]}/{found[3].lstrip('/')}" if found else address
