"""Change requests of a forge, from the delivery to the preview that answers, and until nothing of it is left."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from examples.demo.forge import Forge
from examples.demo.payload import ACCOUNT, LOGIN, headers_of
from shared.contracts.places import Place
from tests import apps
from tests.apps import Repository
from tests.e2e.platform import Environment, Platform
from tests.integration.notifier.receivers import GitHub, github
from tests.polling import until


@dataclass
class Reviewed:
    """A repository on a forge, whose change requests into main get previews."""

    platform: Platform
    forge: Forge
    copy: Repository
    secret: str
    hub: GitHub
    """Its API, of change request 7."""

    def commit(self, branch: str, version: str, ref: str = "") -> str:
        """Commits a version of the application and pushes it to the forge; the commit."""
        commit = self.copy.commit(apps.with_database(self.platform.bases.postgres, version=version))
        self.hub.commits.add(commit)
        self.copy.git("push", "--quiet", "--force", self.forge.clone_url, f"HEAD:{ref or f'refs/heads/{branch}'}")
        return commit

    def tell(self, action: str, number: int, branch: str, commit: str, *, fork: bool = False, merged: bool = False) -> httpx.Response:
        """Delivers GitHub's `pull_request` event."""
        name = "acme/todo"
        sender = {"login": "stranger", "id": 666} if fork else {"login": LOGIN, "id": ACCOUNT}
        document = {
            "action": action,
            "number": number,
            "pull_request": {
                "number": number, "title": f"Version of {branch}", "merged": merged, "html_url": f"{self.forge.web_url}/pull/{number}",
                "head": {"ref": branch, "sha": commit, "repo": {"full_name": "stranger/todo" if fork else name}},
                "base": {"ref": "main", "repo": {"full_name": name}},
            },
            "repository": {"full_name": name, "html_url": self.forge.web_url, "clone_url": self.forge.clone_url},
            "sender": sender,
        }  # fmt: skip
        body = json.dumps(document).encode()
        headers = headers_of(body, self.secret) | {"X-GitHub-Event": "pull_request"}
        answer = httpx.post(f"{self.platform.url}/hooks/todo-reviewed", content=body, headers=headers, timeout=10)
        assert answer.status_code == 202, answer.text
        return answer

    def preview(self, number: int) -> Environment:
        """The environment of a change request."""
        return Environment(self.platform, Place(organization="main", project="reviewed", environment=f"pr-{number}"), self.copy)

    def newest(self, number: int, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The newest deployment of a preview, once it is as wanted."""
        query = {"organization": "main", "project": "reviewed", "environment": f"pr-{number}"}

        def look() -> dict[str, Any] | None:
            found = next(iter(self.platform.api.items("/deployments", query, most=1)), None)
            return found if found is not None and wanted(found) else None

        return until(look, within=120, every=0.2, what=f"a deployment of pr-{number}")

    def comment_says(self, *parts: str) -> None:
        """Change request 7 has one comment of Slipway's, which says all this in the end."""
        comments = self.hub.comments
        until(
            lambda: len(comments.ours) == 1 and all(part in comments.ours[0] for part in parts), within=20, what=f"the comment says {parts}"
        )

    def is_gone(self, number: int) -> bool:
        """No entry in the catalogue."""
        environments = self.platform.api.items("/environments/main/reviewed")
        return f"pr-{number}" not in {item["slug"] for item in environments}


@pytest.fixture(scope="module")
def reviewed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewed]:
    """Connected, with a variable and a secret for all previews."""
    folder = tmp_path_factory.mktemp("forge")
    api = platform.api
    mine = api.get("/me")["id"]
    with Forge(folder).serving() as forge, start_blocking_portal() as portal, portal.wrap_async_context_manager(github()) as hub:
        api.post("/projects/main", {"slug": "reviewed"})
        api.post(
            "/environments/main/reviewed", {"slug": "previews", "kind": "preview", "follows": "change_requests", "ref": "refs/heads/main"}
        )
        api.put("/environments/main/reviewed/previews/variables/VARIABLE", {"value": "for all previews"})
        api.put("/environments/main/reviewed/previews/secrets/API_KEY", {"value": "geheim"})
        connection = {"name": "todo-reviewed", "project": "reviewed", "forge": "github", "clone_url": forge.clone_url}
        connected = api.post("/connections/main", connection)
        channel = {"name": "reviewed", "kind": "forge", "forge": "github", "api_url": hub.url, "secret": hub.token}
        api.post("/channels/main", channel | {"repository": connected["repository"]})
        api.put(f"/people/{mine}/identities", {"forge": f"github:{forge.host}", "login": LOGIN, "account_id": str(ACCOUNT)})
        yield Reviewed(platform, forge, Repository.create(folder / "copy"), connected["secret"], hub)


def _is(commit: str, state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: (found["commit"], found["state"]) == (commit, state)


def test_a_preview_comes_with_its_change_request_and_goes_with_it(reviewed: Reviewed) -> None:
    """It answers at an address of its own, from a database of its own; with each commit anew; afterwards nothing of it stands."""
    preview = reviewed.preview(7)
    first = reviewed.commit("due", "due-1")
    reviewed.tell("opened", 7, "due", first)
    deployed = reviewed.newest(7, _is(first, "succeeded"))
    assert deployed["urls"][0].startswith("https://web.pr-7.reviewed.main.localhost")
    said = preview.get().json()
    assert (said["version"], said["visits"]) == ("due-1", 1)
    reviewed.comment_says("`reviewed/pr-7`: **Live**", f"`{first[:10]}`: `Version of due`", "Built: `web`", f"<{deployed['urls'][0]}>")

    second = reviewed.commit("due", "due-2")
    reviewed.tell("synchronize", 7, "due", second)
    reviewed.newest(7, _is(second, "succeeded"))
    said = preview.get().json()
    assert (said["version"], said["visits"]) == ("due-2", 2)
    reviewed.comment_says("**Live**", f"`{second[:10]}`")

    reviewed.copy.git("push", "--quiet", reviewed.forge.clone_url, ":refs/heads/due")
    reviewed.tell("closed", 7, "due", second, merged=True)
    removal = reviewed.newest(7, lambda found: found["kind"] == "remove" and found["state"] == "succeeded")
    assert removal["title"] == "remove the preview: change request 7 was merged"
    until(lambda: reviewed.is_gone(7), within=20, what="the catalogue's entry is gone")
    reviewed.comment_says("**Gone**", "change request 7 was merged")
    assert not any(preview.describe().comparable().values())


def test_a_fork_runs_nothing_before_it_is_approved_and_sees_no_secrets(reviewed: Reviewed) -> None:
    """Its commit is fetched from where the forge keeps it; each commit waits anew."""
    preview = reviewed.preview(8)
    for version, action in (("fork-1", "opened"), ("fork-2", "synchronize")):
        commit = reviewed.commit("evil", version, ref="refs/pull/8/head")
        reviewed.tell(action, 8, "evil", commit, fork=True)
        waiting = reviewed.newest(8, _is(commit, "waiting"))
        steps = reviewed.platform.api.get(f"/deployments/{waiting['id']}")["steps"]
        assert [step["step"] for step in steps] == ["authorise"]
        reviewed.platform.api.post(f"/deployments/{waiting['id']}/approve")
        deployed = reviewed.newest(8, _is(commit, "succeeded"))
        assert preview.get().json()["version"] == version
        assert "the change request comes from a fork: it does not get the secret API_KEY" in deployed["notes"]
    reviewed.tell("closed", 8, "evil", commit, fork=True)
    until(lambda: reviewed.is_gone(8), within=60, what="the catalogue's entry is gone")
    assert not any(preview.describe().comparable().values())
