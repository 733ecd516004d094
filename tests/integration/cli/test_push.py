"""`slipway push` with the real git, the real git remote, and a coordinator that takes the change."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from subprocess import STDOUT

import pytest

from shared.contracts.changes import ChangePushed
from shared.contracts.events import ChangeTaken, Event
from shared.subprocesses import spawn
from tests.component.api.running import RunningApi, fetched, published
from tests.component.api.story import Story
from tests.integration.cli.front_door import front_door
from tests.integration.cli.stand_in import Answer, standing_in

GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Zoë",
    "GIT_AUTHOR_EMAIL": "z@example.org",
    "GIT_COMMITTER_NAME": "Zoë",
    "GIT_COMMITTER_EMAIL": "z@example.org",
}
PROJECT = Path(__file__).parents[3]
BRANCH = "haupt/größe"


def checkout(folder: Path) -> str:
    """A checkout with one commit on a branch with any name; answers the commit."""
    folder.mkdir()
    (folder / "slipway.yaml").write_text("services: {}\n")
    for words in (("init", "-q", "-b", BRANCH), ("add", "."), ("commit", "-q", "-m", "First ✓")):
        subprocess.run(["git", *words], cwd=folder, env={**os.environ, **GIT}, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, env={**os.environ, **GIT}, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Called:
    """`slipway` as a process of its own, which git calls again for its credentials."""

    def __init__(self, folder: Path, url: str, home: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, **GIT, "SLIPWAY_URL": url, "SLIPWAY_HOME": str(home), "PYTHONPATH": str(PROJECT)}

    async def __call__(self, *words: str) -> tuple[int, str]:
        """Status, and everything that it said."""
        process = await spawn(sys.executable, "-m", "cli.main", *words, cwd=self.folder, env=self.environment, stderr=STDOUT)
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.mark.parametrize(("good", "status"), [(True, 0), (False, 1)])
async def test_a_push_shows_the_pipeline_and_its_end(
    api: RunningApi, nats_url: str, postgres_dsn: str, tmp_path: Path, good: bool, status: int
) -> None:
    """Project, environment and remote are made; git shows the pipeline; the status is that of the deployment; the token stands nowhere."""
    folder = tmp_path / "Mein Projekt"
    commit = checkout(folder)
    (api.home.path / "token").write_text(f"{api.token}\n")
    async with front_door(api, nats_url, postgres_dsn) as url:
        slipway = Called(folder, url, api.home.path)
        pushing = asyncio.create_task(slipway("push"))
        change = ChangePushed.decode(await fetched(nats_url, "coordinator-changes", "CHANGES"))
        assert (change.commit, change.ref, change.project) == (commit, "refs/heads/haupt/größe", "mein-projekt")
        story = Story(project="mein-projekt", commit=commit)
        story.created()
        story.until_the_check()
        if good:
            story.succeeds()
        else:
            story.rolls_back()
        taken = ChangeTaken(change=change.id, deployments=(story.deployment,), ref=change.ref, commit=change.commit)
        await published(nats_url, Event.of(taken, "main", "mein-projekt"), *story.events)
        done, said = await pushing
        assert done == status, said
        assert "Made the environment production, which follows refs/heads/haupt/größe." in said
        assert "remote:     ✓ build image web" in said
        assert api.token not in said
        assert api.token not in (folder / ".git" / "config").read_text()
        assert ("slipway explain" in said) is not good
        again, said = await slipway("push")
        assert again == 0
        assert "slipway deploy --again" in said


async def pushed(folder: Path, remote: str = "", hook: str = "post-receive", to: str = "kept.git") -> tuple[int, str]:
    """Pushes to a repository whose hook says this and fails, of a platform that knows the environment and no deployments."""
    here, there = folder / "todo", folder / "kept.git"
    if not here.exists():
        checkout(here)
    subprocess.run(["git", "init", "-q", "--bare", there], check=True)
    script = there / "hooks" / hook
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{remote}\nEND\nexit 1\n")
    script.chmod(0o700)
    answers = {
        "/projects/main/todo": [Answer({"slug": "todo"})],
        "/environments/main/todo": [Answer({"items": [{"slug": "production"}], "next": None})],
        "/deployments": [Answer({"items": [], "next": None})],
    }
    with standing_in(answers) as platform:
        slipway = Called(here, platform.url, folder)
        known = {"GIT_CONFIG_KEY_0": f"url.{folder / to}.insteadOf", "GIT_CONFIG_VALUE_0": f"{platform.url}/git/main/todo.git"}
        slipway.environment |= {"SLIPWAY_TOKEN": "slw_test", "LC_ALL": "C.UTF-8", "LANGUAGE": "de", "GIT_CONFIG_COUNT": "1", **known}
        return await slipway("push")


async def test_what_git_fails_at_is_said_in_every_language(tmp_path: Path) -> None:
    """What git says is read: it speaks English. To take in what is there is no help where the remote cannot keep what it got."""
    done, told = await pushed(tmp_path, to="missing.git")
    assert (done, "git push failed: fatal: " in told) == (1, True), told
    done, told = await pushed(tmp_path, hook="pre-receive")
    assert (done, "[remote rejected]" in told, "git pull" in told) == (1, True, False), told


@pytest.mark.parametrize(
    ("remote", "status", "said"),
    [
        ("Slipway could not be told of this push just now. It is kept, and will be deployed.", 1, "no deployment has begun yet"),
        ("Slipway took {}.\n  The coordinator does not answer. The push is kept.", 1, "no deployment has begun yet"),
        ("Slipway took {}.\nNo environment follows {}, so nothing is deployed.", 0, "Make one: slipway environment create"),
        ("Slipway took {}.\n  {}: nothing to deploy, it is older than what runs", 0, "nothing to deploy"),
        ("{}: the commit's message asks for no deployment: [skip ci].", 0, "[skip ci]"),
    ],
)
async def test_a_push_that_leads_to_no_deployment(tmp_path: Path, remote: str, status: int, said: str) -> None:
    """1 where one is still to come, which nobody has seen yet; 0 where the remote has decided that there is none, and why."""
    done, told = await pushed(tmp_path, remote.replace("{}", BRANCH))
    assert (done, said in told) == (status, True), told
    assert ("No environment follows" in told) is ("No environment follows" in remote)


async def test_a_push_without_the_right_says_the_rule(api: RunningApi, nats_url: str, postgres_dsn: str, tmp_path: Path) -> None:
    """Somebody without a role in the project is told so, and so is who may see it only; git asks nobody for a password."""
    folder = tmp_path / "todo"
    checkout(folder)
    await api.with_todo()
    await api.made("/projects/main", slug="other")
    (api.home.path / "token").write_text(await api.person("admin", "project/main/other"))
    async with front_door(api, nats_url, postgres_dsn) as url:
        done, said = await Called(folder, url, api.home.path)("push")
        (api.home.path / "token").write_text(await api.person("viewer", "project/main/todo"))
        seen, refused = await Called(folder, url, api.home.path)("push")
    assert done == 1
    assert "has no role on project main/todo" in said
    assert seen == 1
    assert "only deployer or above may push" in refused.partition("✗ git push failed: ")[2]
    assert "slipway people grant" in refused


async def test_the_credential_helper_answers_for_the_platform_only(api: RunningApi, tmp_path: Path) -> None:
    """Git asks it for other addresses too, where somebody configured it so: they learn nothing."""
    (api.home.path / "token").write_text(f"{api.token}\n")
    environment = Called(tmp_path, api.url, api.home.path).environment

    def asked(host: str, operation: str = "get") -> str:
        words = [sys.executable, "-m", "cli.main", "credential", operation]
        given = f"protocol=http\nhost={host}\n\n"
        return subprocess.run(words, input=given, env=environment, capture_output=True, text=True, check=True).stdout

    own = api.url.removeprefix("http://")
    assert await asyncio.to_thread(asked, own) == f"username=slipway\npassword={api.token}\n"
    assert await asyncio.to_thread(asked, "evil.example") == ""
    assert await asyncio.to_thread(asked, own, "store") == ""
