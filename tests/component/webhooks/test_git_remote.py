"""Pushing to Slipway's own remote with the real git client."""

import asyncio
import base64
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.webhooks.git import backend, pushes
from shared import clone_credentials
from shared.contracts import events as e
from shared.contracts import facts as f
from shared.contracts.answers import Failure
from shared.contracts.changes import ChangePushed, FoundBy
from shared.contracts.events import Stage
from shared.contracts.places import EnvironmentKind
from shared.contracts.releases import ReleaseKind
from shared.contracts.steps import CandidateFailed
from shared.subprocesses import Program
from tests.component.webhooks.conftest import Running, Webhooks
from tests.component.webhooks.neighbours import READER, TOKEN, Coordinator
from tests.component.webhooks.workingcopy import WorkingCopy
from tests.polling import eventually

DEPLOYMENT = "01kdeployment"


@pytest.fixture
async def copy(tmp_path: Path) -> WorkingCopy:
    """A working copy with one commit."""
    made = await WorkingCopy.new(tmp_path / "copy")
    await made.commit("Add a due date ⏰")
    return made


class Deployment:
    """The events of one deployment, numbered."""

    def __init__(self, coordinator: Coordinator, builder: Coordinator) -> None:
        self._coordinator = coordinator
        self._builder = builder
        self._sequence = 0

    async def say(self, fact: f.Fact, step: str | None = None, stage: Stage | None = None, outcome: str | None = None) -> None:
        """The next event."""
        self._sequence += 1
        await self._coordinator.say(fact, deployment=DEPLOYMENT, step=step, stage=stage, outcome=outcome, sequence=self._sequence)

    async def create(self, change: ChangePushed) -> None:
        """The first."""
        await self.say(
            e.DeploymentCreated(
                kind=ReleaseKind.DEPLOY,
                environment_kind=EnvironmentKind.PRODUCTION,
                target="local",
                ref=change.ref,
                commit=change.commit,
                title=change.title,
                change=change.id,
            )
        )

    async def build(self) -> None:
        """A build with its log."""
        await self.say(e.StepStarted(attempt=1, title="build image web"), "build-web", Stage.BUILD, "started")
        await self._builder.log(DEPLOYMENT, "build-web", "#1 FROM node", "#2 \x1b[31mRUN npm ci\x1b[0m")

    async def built(self) -> None:
        """Its end."""
        await self.say(f.ImageBuilt(service="web", image="x"), "build-web", Stage.BUILD, "done")


async def _until_said(process: Program, text: str, within: float = 15) -> list[str]:
    """What the remote says up to a text."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(within):
        while text not in said:
            part = await process.stderr.read(4096)
            assert part, f"the push ended without {text!r}:\n{said}"
            said += part.decode()
    return said.splitlines()


async def test_a_push_shows_the_pipeline_live_and_the_address_at_its_end(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Each line comes when it happens, not at the end."""
    push = await copy.start("push", webhooks.remote(), "main")
    change = await webhooks.coordinator.take()
    assert (change.found_by, change.ref, change.connection) == (FoundBy.PUSH, "refs/heads/main", "slipway")
    assert (change.repository, change.title, change.author) == ("slipway/main/todo", "Add a due date ⏰", "Grace Hopper")
    assert (change.pusher.person, change.pusher.login, change.pusher.forge) == ("p-ada", "Ada Lovelace ⚙", "slipway")
    await _until_said(push, f"Slipway took main at {change.commit[:8]}.")

    deployment = Deployment(webhooks.coordinator, webhooks.builder)
    await webhooks.coordinator.took(change, DEPLOYMENT)
    await deployment.create(change)
    await deployment.build()
    await _until_said(push, "│ #2 RUN npm ci")
    await deployment.built()
    await _until_said(push, "✓ build image web")
    await deployment.say(e.DeploymentSucceeded(urls=("https://web.production.todo.main.localhost:8443",), seconds=4.2))
    await _until_said(push, "https://web.production.todo.main.localhost:8443")
    assert await push.wait() == 0


async def test_a_failure_is_told_with_its_log_and_what_was_undone(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The push succeeds whatever the end: the ref stays."""
    push = asyncio.create_task(copy.git("push", webhooks.remote(), "main"))
    change = await webhooks.coordinator.take()
    deployment = Deployment(webhooks.coordinator, webhooks.builder)
    await deployment.create(change)
    await webhooks.coordinator.took(change, DEPLOYMENT)
    await deployment.say(e.StepStarted(attempt=1, title="check container web"), "check-container-web", Stage.DEPLOY, "started")
    failure = Failure(code="exited", message="web exited with code 1.", log_tail=("Error: no module 'pg'",))
    await deployment.say(CandidateFailed(failure=failure), "check-container-web", Stage.DEPLOY, "failed")
    await deployment.say(e.CompensationStarted(epoch=2, reason="check container web failed", failure=failure))
    await deployment.say(e.UndoStarted(attempt=1, title="deploy container web"), "deploy-container-web", Stage.DEPLOY, "started")
    await deployment.say(f.ContainerRemoved(service="web"), "deploy-container-web", Stage.DEPLOY, "undone")
    await deployment.say(e.DeploymentRolledBack(reason="check container web failed", failure=failure, seconds=9))
    done = await push
    told = "\n".join(done.remote)
    for part in ("✗ check container web", "│ Error: no module 'pg'", "Rolling back", "↩ deploy container web", "✗ Rolled back in 9.0s"):
        assert part in told
    assert done.status == 0
    assert (await copy.git("ls-remote", webhooks.remote())).out.split()[0] == change.commit


async def test_leaving_stops_nothing(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Ctrl-C at the client: the change was stored before its first line, and git's processes end by themselves."""
    push = await copy.start("push", webhooks.remote(), "main")
    change = await webhooks.coordinator.take()
    await _until_said(push, "Slipway took main")
    os.killpg(push.pid, signal.SIGINT)
    await push.wait()
    deployment = Deployment(webhooks.coordinator, webhooks.builder)
    await webhooks.coordinator.took(change, DEPLOYMENT)
    await deployment.create(change)
    assert (await copy.git("ls-remote", webhooks.remote())).out.split()[0] == change.commit

    async def none_left() -> bool:
        return not _git_processes(webhooks.settings.repositories)

    assert await eventually(none_left, within=20, every=0.2)


async def test_a_push_that_breaks_off_leaves_no_git_behind(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """A connection that ends before its body has: git ends, too, instead of reading the missing rest for ever."""
    first = asyncio.create_task(copy.git("push", webhooks.remote(), "main"))
    await webhooks.coordinator.ignored(await webhooks.coordinator.take(), "nobody follows")
    await first
    address = urlsplit(webhooks.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(_head_of_a_push(webhooks, 1000) + b"0094")

    async def some() -> bool:
        return bool(_git_processes(webhooks.settings.repositories))

    async def none_left() -> bool:
        return not _git_processes(webhooks.settings.repositories)

    assert await eventually(some, every=0.01)
    writer.close()
    assert await eventually(none_left, within=20, every=0.2)


def _head_of_a_push(webhooks: Webhooks, length: int) -> bytes:
    basic = base64.b64encode(f"git:{TOKEN}".encode()).decode()
    head = (
        "POST /git/main/todo.git/git-receive-pack HTTP/1.1",
        f"Host: {urlsplit(webhooks.url).netloc}",
        f"Authorization: Basic {basic}",
        "Content-Type: application/x-git-receive-pack-request",
        f"Content-Length: {length}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def _git_processes(repositories: Path) -> list[int]:
    """Processes that work on these repositories."""
    import psutil

    found = []
    for process in psutil.process_iter(["environ"]):
        environment = process.info["environ"] or {}
        if environment.get("GIT_PROJECT_ROOT", "").startswith(str(repositories)) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


async def test_a_branch_that_nobody_follows_is_said_so(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The push ends at once, with the branches that are followed."""
    done = await copy.git("push", webhooks.remote(), "main:feature/größe")
    assert "No environment follows feature/größe, so nothing is deployed." in done.remote
    assert "Followed are: main." in done.remote
    assert (await webhooks.coordinator.take()).ref == "refs/heads/feature/größe"


async def test_an_ignored_change_ends_the_push_with_its_reason(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The coordinator has the last word on what follows a branch."""
    push = asyncio.create_task(copy.git("push", webhooks.remote(), "main"))
    await webhooks.coordinator.ignored(await webhooks.coordinator.take(), "deployments are frozen")
    assert "  main: nothing to deploy, deployments are frozen" in (await push).remote


async def test_deleting_and_forcing_work(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """A deleted branch is told; a forced one is a new change."""
    await copy.git("push", webhooks.remote(), "main:other")
    first = await webhooks.coordinator.take()
    await copy.git("commit", "-q", "--amend", "-m", "Another")
    await copy.git("push", "--force", webhooks.remote(), "main:other")
    second = await webhooks.coordinator.take()
    assert second.before == first.commit
    done = await copy.git("push", webhooks.remote(), ":other")
    assert "other: the ref was deleted: there is nothing to deploy." in done.remote


async def test_an_annotated_tag_leads_to_its_commit(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The change names the commit, not the tag object."""
    commit = await copy.commit("Release")
    await copy.git("tag", "-a", "v1", "-m", "Version 1")
    await copy.git("push", webhooks.remote(), "v1")
    change = await webhooks.coordinator.take()
    assert (change.ref, change.commit) == ("refs/tags/v1", commit)


async def test_a_push_of_many_refs_is_recorded_in_parts(webhooks: Webhooks, copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    """And told of as one."""
    monkeypatch.setattr(pushes, "AT_ONCE", 2)
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    names = [f"branch-{number}" for number in range(5)]
    done = await copy.git("push", webhooks.remote(), *(f"main:{name}" for name in names))
    assert [line for line in done.remote if line.startswith("Slipway took")] == [f"Slipway took {name} at {commit[:8]}." for name in names]
    assert [(await webhooks.coordinator.take()).ref for _ in names] == [f"refs/heads/{name}" for name in names]


async def test_a_large_push_passes(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Twenty megabytes that do not compress, in chunks."""
    (copy.path / "large").write_bytes(os.urandom(20 * 1024 * 1024))
    await copy.commit("Large")
    await copy.git("-c", "http.postBuffer=1048576", "push", webhooks.remote(), "main:large")
    assert (await webhooks.coordinator.take()).ref == "refs/heads/large"


async def test_concurrent_pushes_are_all_taken(webhooks: Webhooks, copy: WorkingCopy, tmp_path: Path) -> None:
    """Also the first ones, which make the repository."""
    copies = [await WorkingCopy.new(tmp_path / f"copy-{number}") for number in range(6)]
    for number, one in enumerate(copies):
        await one.commit(f"Work {number}")
    await asyncio.gather(*(one.git("push", webhooks.remote(), f"main:branch-{number}") for number, one in enumerate(copies)))
    refs = {(await webhooks.coordinator.take()).ref for _ in copies}
    assert refs == {f"refs/heads/branch-{number}" for number in range(6)}
    assert copy.path.exists()


async def test_a_clone_reads_what_was_pushed(webhooks: Webhooks, copy: WorkingCopy, tmp_path: Path) -> None:
    """By a person with the right to read, and by the builder with its credential."""
    commit = await copy.commit("Work")
    await copy.git("push", webhooks.remote(), "main:other")
    await copy.git("clone", "-q", "-b", "other", webhooks.remote(READER), str(tmp_path / "by-person"))
    key = clone_credentials.read_key(webhooks.settings.clone_key_file)
    password = clone_credentials.mint(key, "main", "todo", time.time())
    url = webhooks.url.replace("http://", f"http://{clone_credentials.USERNAME}:{password}@") + "/git/main/todo.git"
    builder = await WorkingCopy.new(tmp_path / "by-builder")
    await builder.git("fetch", "-q", "--depth", "1", url, commit)
    assert (await builder.git("rev-parse", "FETCH_HEAD")).out.strip() == commit
    assert "expired" in (await builder.git("push", url, "FETCH_HEAD:refs/heads/x", good=False)).said


@pytest.mark.parametrize(
    ("token", "project", "said"),
    [
        ("slw_nobodys", "todo", "Authentication failed"),
        (READER, "todo", "Bob may not push to main/todo: viewers do not push."),
        ("slw_good", "nothing", "There is no project main/nothing"),
    ],
)
async def test_who_may_not_push_is_told_why(webhooks: Webhooks, copy: WorkingCopy, token: str, project: str, said: str) -> None:
    """Git shows the reason, and nothing is stored."""
    done = await copy.git("push", webhooks.remote(token, project), "main", good=False)
    assert done.status != 0
    assert said in done.said
    assert not list(webhooks.settings.repositories.glob("*/*.git"))


async def test_git_answers_after_the_request_only(webhooks: Webhooks) -> None:
    """Though `git http-backend` begins to speak before it has heard anything: a proxy would cut the request short."""
    address = urlsplit(webhooks.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(_head_of_a_push(webhooks, 4))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1.0)
        writer.write(b"0000")
        assert b" 200 OK" in await asyncio.wait_for(reader.readline(), 10)
    finally:
        writer.close()


async def test_only_gits_own_protocol_is_served(webhooks: Webhooks) -> None:
    """No files of a repository, no paths out of it."""
    for path in ("/git/main/todo.git/HEAD", "/git/main/todo.git/config", "/git/main/../todo.git/info/refs", "/git/../../etc/passwd"):
        answer = await webhooks.http.get(path, auth=("git", "slw_good"))
        assert answer.status_code in (403, 404)
    assert (await webhooks.http.get("/git/main/todo.git/info/refs?service=git-upload-pack")).status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        "service=git-upload-pack&service=git-receive-pack",
        "service=git-receive-pack&service=git-upload-pack",
        "service=git-upload-pack&%73ervice=git-receive-pack",
        "service=git-upload-pack;service=git-receive-pack",
    ],
)
async def test_the_service_that_was_checked_is_the_one_that_runs(webhooks: Webhooks, query: str) -> None:
    """A query that names two services is refused: git would take the last, and a reader is no pusher."""
    answer = await webhooks.http.get(f"/git/main/todo.git/info/refs?{query}", auth=("git", READER))
    assert answer.status_code == 403
    assert "receive-pack" not in answer.headers.get("content-type", "")


async def test_git_hears_nothing_of_a_query_but_the_service(webhooks: Webhooks) -> None:
    """What else a client writes there is not passed on."""
    query = "service=git-upload-pack&x=1&service%00=git-receive-pack"
    answer = await webhooks.http.get(f"/git/main/todo.git/info/refs?{query}", auth=("git", READER))
    assert answer.headers["content-type"] == "application/x-git-upload-pack-advertisement"


async def test_a_restart_of_slipway_ends_the_telling_with_a_word(running: Running, copy: WorkingCopy) -> None:
    """The pusher hears that what was begun goes on, and git ends well."""
    async with running() as webhooks:
        push = asyncio.create_task(copy.git("push", webhooks.remote(), "main"))
        change = await webhooks.coordinator.take()
        await webhooks.coordinator.took(change, DEPLOYMENT)
        await Deployment(webhooks.coordinator, webhooks.builder).create(change)
        await asyncio.sleep(0.5)
    done = await push
    assert "  Slipway is being restarted. What was begun goes on." in done.remote
    assert f"    → slipway explain {DEPLOYMENT}" in done.remote
    assert done.status == 0


async def test_a_change_begins_a_trace(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Each its own: its deployments go on with it."""
    await copy.git("push", webhooks.remote(), "main:one", "main:two")
    traces = await webhooks.pool.fetch("SELECT headers ->> 'traceparent' AS trace FROM outbox")
    assert len({row["trace"].split("-")[1] for row in traces}) == 2


async def test_a_push_that_stands_for_more_than_fits_into_memory_is_refused(
    webhooks: Webhooks, copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred million zeros are a hundred kilobytes of a push; the next push is taken."""
    before = await copy.git("rev-parse", "HEAD")
    monkeypatch.setattr(backend, "MEMORY", 64 * 2**20)
    (copy.path / "zeros").write_bytes(bytes(100 * 2**20))
    await copy.commit("Zeros")
    pushed = await copy.git("push", webhooks.remote(), "main", good=False)
    assert pushed.status != 0
    assert "out of memory" in pushed.said.lower()
    monkeypatch.undo()
    await copy.git("push", webhooks.remote(), f"{before.out.strip()}:refs/heads/other")
    assert (await webhooks.coordinator.take()).commit == before.out.strip()
