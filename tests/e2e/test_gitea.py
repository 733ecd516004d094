"""A real forge, connected as a user connects it: what it sends is taken, and what it is told arrives. `make forge-test` builds it first."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.contracts.places import Place
from tests import apps
from tests.apps import App, Repository
from tests.e2e.gitea import PROGRAM, Gitea, Person, running_gitea
from tests.e2e.platform import FINAL, Environment, Platform, running_platform
from tests.polling import until

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="Gitea is not built; `make forge-test` does it, once")

NAME = "todo"
REPOSITORY = "ada/todo"
SWEEP_S = 24
"""Its sixth is what Gitea has to write its feed."""


@dataclass
class Connected:
    """A repository of Gitea that is connected to a project."""

    platform: Platform
    gitea: Gitea
    ada: Person
    copy: Repository

    def slipway(self, *words: str, given: str = "") -> Any:
        """What a command answers with `--json`."""
        environment = {**os.environ, "SLIPWAY_HOME": str(self.platform.home.path), "SLIPWAY_URL": self.platform.url}
        command = [sys.executable, "-m", "cli.main", *words, "--json"]
        done = subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def environment(self, name: str = "production") -> Environment:
        """One of the project's environments."""
        return Environment(self.platform, Place(organization="main", project=NAME, environment=name), self.copy)

    def push(self, app: App, ref: str = "refs/heads/main", person: Person | None = None, repository: str = REPOSITORY) -> str:
        """Commits and pushes to Gitea; the commit."""
        commit = self.copy.commit(app)
        (person or self.ada).push(self.copy.path, repository, f"HEAD:{ref}")
        return commit

    def newest(self, environment: str, commit: str, *states: str) -> dict[str, Any]:
        """The newest deployment of an environment, once it is of this commit and in one of these states."""
        query = {"organization": "main", "project": NAME, "environment": environment}

        def look() -> dict[str, Any] | None:
            found = next(iter(self.platform.api.items("/deployments", query, most=1)), None)
            return found if found and found["commit"] == commit and found["state"] in (states or FINAL) else None

        return until(look, within=120, every=0.2, what=f"{commit} in {environment} is {' or '.join(states) or 'over'}")

    def status(self, commit: str, context: str, state: str) -> dict[str, Any]:
        """The newest status of a commit at Gitea, once it is this one."""

        def look() -> dict[str, Any] | None:
            said = self.ada.ask("GET", f"repos/{REPOSITORY}/commits/{commit}/statuses")
            newest = max((each for each in said if each["context"] == context), key=lambda each: int(each["id"]), default=None)
            return newest if newest and newest["status"] == state else None

        return until(look, within=30, every=0.2, what=f"{context} of {commit} is {state}")

    def comment(self, number: int, words: str) -> str:
        """The one comment of a change request, once it says so."""

        def look() -> str | None:
            said = self.ada.ask("GET", f"repos/{REPOSITORY}/issues/{number}/comments")
            assert len(said) <= 1, said
            return next((str(each["body"]) for each in said if words in each["body"]), None)

        return until(look, within=30, every=0.2, what=f"the comment of {number} says {words}")

    def is_gone(self, environment: str) -> bool:
        """No entry in the catalogue."""
        return environment not in {each["slug"] for each in self.platform.api.items(f"/environments/main/{NAME}")}


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    """By `slipway connect`, whose hook has been tested by Gitea; its owner is linked to the first administrator."""
    with running_gitea() as gitea, running_platform(SLIPWAY_PRIVATE_FORGES="127.0.0.1", SLIPWAY_SWEEP_S=str(SWEEP_S)) as platform:
        ada = gitea.person("ada")
        ada.ask("POST", "user/repos", {"name": "todo", "default_branch": "main"})
        copy = Repository.create(tmp_path_factory.mktemp("gitea") / "copy")
        all_of_it = Connected(platform, gitea, ada, copy)
        platform.api.post("/projects/main", {"slug": NAME})
        words = ("connect", "gitea", f"{gitea.url}/{REPOSITORY}", "-p", f"main/{NAME}", "--url", platform.url)
        empty = all_of_it.slipway(*words, given=f"{ada.token}\n")
        assert (empty["statuses"], empty["hook"]["created"], empty["delivery"]) == (True, True, None)
        all_of_it.push(apps.good(platform.bases.shell, version="0"))
        until(lambda: not ada.ask("GET", f"repos/{REPOSITORY}")["empty"], within=30, what="Gitea has seen the first push")
        again = all_of_it.slipway(*words, given="\n")
        assert (again["hook"]["created"], again["delivery"]["event"]) == (False, "push")
        mine = platform.api.get("/me")["id"]
        platform.api.put(f"/people/{mine}/identities", {"forge": "gitea:127.0.0.1", "login": "ada", "account_id": ""})
        platform.api.post(f"/environments/main/{NAME}", {"slug": "production"})
        previews = {"slug": "previews", "kind": "preview", "follows": "change_requests", "ref": "refs/heads/main"}
        platform.api.post(f"/environments/main/{NAME}", previews)
        yield all_of_it


def test_a_push_is_deployed_and_shown_on_its_commit(connected: Connected) -> None:
    """Its pusher is known; the status leads to the deployment's page; a broken one is a failure, and the former version answers."""
    commit = connected.push(apps.good(connected.platform.bases.shell, version="1"))
    deployed = connected.newest("production", commit)
    assert (deployed["state"], deployed["pusher"]) == ("succeeded", "ada"), deployed
    status = connected.status(commit, "slipway/todo/production", "success")
    assert status["target_url"].endswith(deployed["id"])
    broken = connected.push(apps.never_healthy(connected.platform.bases.shell))
    assert connected.newest("production", broken)["state"] == "rolled_back"
    connected.status(broken, "slipway/todo/production", "failure")
    assert connected.environment().get().json()["version"] == "1"


def test_tags_and_deletions_are_recorded(connected: Connected) -> None:
    """An annotated tag is a change of its commit; a branch and a tag that go are none; each delivery says what was made of it."""
    commit = connected.push(apps.good(connected.platform.bases.shell, version="tagged"), "refs/heads/elsewhere")
    connected.copy.git("tag", "--annotate", "--message", "Überall", "v1.0-ü")
    connected.ada.push(connected.copy.path, REPOSITORY, "refs/tags/v1.0-ü")
    connected.ada.push(connected.copy.path, REPOSITORY, ":refs/heads/elsewhere", ":refs/tags/v1.0-ü")
    api = connected.platform.api

    def told() -> dict[str, list[Any]] | None:
        listed = list(api.items("/deliveries/main", {"connection": "todo-gitea"}, most=20))
        every = [api.get(f"/deliveries/main/{each['id']}") for each in listed]
        refs: dict[str, list[Any]] = {}
        for each in every:
            for change in each["changes"]:
                refs.setdefault(change["ref"], []).append(change["commit"])
        gone = [each for each in every if each["reason"] == "the ref was deleted: there is nothing to deploy"]
        return refs if len(gone) >= 2 else None

    refs = until(told, within=30, every=0.3, what="both deletions are recorded")
    assert refs["refs/heads/elsewhere"] == [commit]
    assert refs["refs/tags/v1.0-ü"] == [commit]


def test_a_change_request_gets_a_preview(connected: Connected) -> None:
    """And one comment, that says so; a fork's gets one once somebody approved it; closed, nothing of it stands."""
    ada, gitea = connected.ada, connected.gitea
    commit = connected.push(apps.good(connected.platform.bases.shell, version="due"), "refs/heads/due")
    request = ada.ask("POST", f"repos/{REPOSITORY}/pulls", {"head": "due", "base": "main", "title": "Due dates"})
    preview = f"pr-{request['number']}"
    assert connected.newest(preview, commit)["state"] == "succeeded"
    assert connected.environment(preview).get().json()["version"] == "due"
    connected.status(commit, f"slipway/todo/{preview}", "success")
    assert f"https://web.{preview}.todo.main.localhost" in connected.comment(request["number"], "Answers at")
    ada.ask("PATCH", f"repos/{REPOSITORY}/pulls/{request['number']}", {"state": "closed"})
    until(lambda: connected.is_gone(preview), within=60, what="the preview is gone")
    connected.comment(request["number"], "Gone")

    grace = gitea.person("grace")
    grace.ask("POST", f"repos/{REPOSITORY}/forks", {})
    foreign = connected.push(apps.good(connected.platform.bases.shell, version="fork"), "refs/heads/fix", grace, "grace/todo")
    request = grace.ask("POST", f"repos/{REPOSITORY}/pulls", {"head": "grace:fix", "base": "main", "title": "A fix"})
    preview = f"pr-{request['number']}"
    waiting = connected.newest(preview, foreign, "waiting")
    connected.platform.api.post(f"/deployments/{waiting['id']}/approve")
    assert connected.newest(preview, foreign)["state"] == "succeeded"
    grace.ask("PATCH", f"repos/{REPOSITORY}/pulls/{request['number']}", {"state": "closed"})
    until(lambda: connected.is_gone(preview), within=60, what="the fork's preview is gone")


def test_a_change_request_of_somebody_who_may_only_read_is_a_fork_s(connected: Connected) -> None:
    """It has no branch, and names the repository itself as its source: nothing of it runs unapproved."""
    hopper = connected.gitea.person("hopper")
    foreign = connected.push(apps.good(connected.platform.bases.shell, version="agit"), "refs/for/main/mine", hopper)
    (request,) = connected.ada.ask("GET", f"repos/{REPOSITORY}/pulls?state=open")
    assert connected.newest(f"pr-{request['number']}", foreign, "waiting")["state"] == "waiting"
    connected.ada.ask("PATCH", f"repos/{REPOSITORY}/pulls/{request['number']}", {"state": "closed"})
    until(lambda: connected.is_gone(f"pr-{request['number']}"), within=60, what="its preview is gone")


def test_what_nobody_told_of_is_found(connected: Connected) -> None:
    """The hook is off: a push, and a change request, which gets its preview. Gitea's own feed says whose they are."""
    (hook,) = connected.ada.ask("GET", f"repos/{REPOSITORY}/hooks")
    connected.ada.ask("PATCH", f"repos/{REPOSITORY}/hooks/{hook['id']}", {"active": False})
    commit = connected.push(apps.good(connected.platform.bases.shell, version="swept"))
    proposed = connected.push(apps.good(connected.platform.bases.shell, version="proposed"), "refs/heads/proposed")
    request = connected.ada.ask("POST", f"repos/{REPOSITORY}/pulls", {"head": "proposed", "base": "main", "title": "Proposed"})
    preview = f"pr-{request['number']}"
    for environment, head, version in (("production", commit, "swept"), (preview, proposed, "proposed")):
        found = connected.newest(environment, head)
        assert (found["state"], found["pusher"]) == ("succeeded", "ada"), found
        assert connected.environment(environment).get().json()["version"] == version


def test_a_deploy_key_reads_over_ssh(connected: Connected) -> None:
    """Gitea's own SSH server lets it in, and what is pushed is cloned from there."""
    (hook,) = connected.ada.ask("GET", f"repos/{REPOSITORY}/hooks")
    connected.ada.ask("PATCH", f"repos/{REPOSITORY}/hooks/{hook['id']}", {"active": True})
    key = connected.slipway("connections", "key", f"{NAME}-gitea", "--install")
    assert (key["installed"], key["clone_url"].startswith("ssh://")) == (True, True)
    commit = connected.push(apps.good(connected.platform.bases.shell, version="ssh"))
    assert connected.newest("production", commit)["state"] == "succeeded"
    assert connected.environment().get().json()["version"] == "ssh"
