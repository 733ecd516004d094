"""Pushes whose event got lost are found by comparing refs with what is known."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.webhooks.catalogue import Catalogue
from services.webhooks.connections import Connections
from services.webhooks.git import repositories
from services.webhooks.git.repositories import Repositories
from services.webhooks.pushers import Pushers
from services.webhooks.store import Recorded, Store
from services.webhooks.sweep import ForgeSweep, OwnSweep
from services.webhooks.turns import Paused
from shared import ssh
from shared.contracts.changes import ChangePushed, FoundBy
from shared.guarded_http import guarded_client
from shared.outbound import PRIVATE_FORGES, Reach
from shared.outbox import Outbox
from shared.proto.catalogue_pb2 import CLONE
from shared.rpc import channel
from shared.sealing import Vault
from tests.component.builder.forge import running_forge
from tests.component.builder.ssh_forge import running_ssh_forge
from tests.component.webhooks.conftest import Running, Webhooks, catalogue_changed
from tests.component.webhooks.deliveries import A, deliver, push
from tests.component.webhooks.neighbours import MADE, TOKEN, Api
from tests.component.webhooks.workingcopy import WorkingCopy
from tests.endless_git import endless_git
from tests.polling import eventually

GRACE_S = 0.01
ODD_ENDS = "\x85\u2028\u2029"
"""That end lines for `str.splitlines`, and not for git."""
REQUESTS_A_LOOK = 2
"""What a server can do, and its refs (gitprotocol-v2(5))."""


@pytest.fixture
async def copy(tmp_path: Path) -> WorkingCopy:
    """A working copy with one commit."""
    made = await WorkingCopy.new(tmp_path / "copy")
    await made.commit("Work")
    return made


def _own(webhooks: Webhooks, store: Store | None = None) -> OwnSweep:
    repositories = Repositories(webhooks.settings.repositories, Path("/nonexistent"), 10**9)
    return OwnSweep(store or Store(webhooks.pool, Outbox("webhooks")), repositories, webhooks.settings.clone_url, 60)


async def _forget(webhooks: Webhooks) -> None:
    """As if the process had died after the ref was updated and before anything was written."""
    await webhooks.pool.execute("UPDATE heads SET change = NULL, commit = NULL, arrival = NULL")
    await webhooks.pool.execute("DELETE FROM changes")


async def test_a_push_without_event_is_found_with_its_pusher(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The reflog says who pushed; the change is marked as found by the sweep."""
    await copy.git("push", webhooks.remote(), "main:größe")
    pushed = await webhooks.coordinator.take()
    await _forget(webhooks)
    (found,) = await _own(webhooks).sweep()
    assert (found.ref, found.commit, found.found_by) == ("refs/heads/größe", pushed.commit, FoundBy.SWEEP)
    assert (found.pusher.person, found.pusher.login) == ("p-ada", "Ada Lovelace ⚙")
    assert isinstance(found, ChangePushed)
    assert (found.title, found.author) == ("Work", "Grace Hopper")
    assert (await webhooks.coordinator.take()).id == found.id


async def test_a_push_that_could_not_be_recorded_is_found_unless_there_is_a_newer_one(
    webhooks: Webhooks, copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads are compared: of two pushes of a branch the sweep sees the newer one. Both are told so."""

    async def away(*_: object) -> Recorded:
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(Store, "record", away)
        for _ in range(2):
            newest = await copy.commit("More work")
            said = (await copy.git("push", webhooks.remote(), "main")).remote
            assert "It is kept, and will be found and deployed within a minute." in "\n".join(said)
            assert "A newer push of its branch, made before that, takes its place." in said
    assert [found.commit for found in await _own(webhooks).sweep()] == [newest]


async def test_a_name_that_holds_another_kind_of_line_end_is_found(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Git takes them, and they keep no other from being found."""
    names = {f"refs/heads/main{end}x" for end in ODD_ENDS}
    await copy.git("push", webhooks.remote(), *(f"main:{name}" for name in names))
    await _forget(webhooks)
    assert {found.ref for found in await _own(webhooks).sweep()} == names


async def test_a_name_does_not_pass_for_the_one_that_it_begins_with(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Who may push any branch but the main one does not decide where that is."""
    names = {f"refs/heads/main{end}x" for end in ODD_ENDS}
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    other = await copy.commit("Not reviewed")
    for name in names:
        await copy.git("update-ref", name, other)
    await copy.git("reset", "-q", "--hard", commit)
    webhooks.api.refs = ("refs/heads/*",)
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect("ends", repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("ends")
            assert connection is not None
            found = {found.ref: found.commit for found in await sweep.sweep(connection)}
    assert found == {"refs/heads/main": commit} | dict.fromkeys(names, other)


async def test_what_is_known_is_found_no_more(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """A second sweep, and one after an ordinary push, find nothing."""
    await copy.git("push", webhooks.remote(), "main:other")
    assert await _own(webhooks).sweep() == []
    await _forget(webhooks)
    assert len(await _own(webhooks).sweep()) == 1
    assert await _own(webhooks).sweep() == []


async def test_an_ignored_change_is_not_found_every_minute(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The coordinator said no: the head stays where it is, and stays known."""
    await copy.git("push", webhooks.remote(), "main:other")
    await webhooks.pool.execute("UPDATE changes SET state = 'ignored'")
    assert await _own(webhooks).sweep() == []


async def test_a_push_that_comes_while_the_sweep_looks_wins(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """The sweep saw the old head: it does not bring it back as the newest change."""
    await copy.git("push", webhooks.remote(), "main:other")
    second = await copy.commit("More")

    class PushedMeanwhile(Store):
        """A push comes in between the sweep's first look and its second."""

        async def known_heads(self, connection: str, repository: str) -> dict[str, tuple[str, int]]:
            known = await super().known_heads(connection, repository)
            await copy.git("push", webhooks.remote(), "main:other")
            await webhooks.pool.execute("UPDATE heads SET commit = $1, arrival = arrival + 1", A)  # and yet another, elsewhere
            return known

    assert await _own(webhooks, PushedMeanwhile(webhooks.pool, Outbox("webhooks"))).sweep() == []
    assert second != A


async def test_a_broken_repository_keeps_no_other_from_being_swept(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Git's complaint is logged, and the sweep goes on."""
    await copy.git("push", webhooks.remote(), "main:other")
    await _forget(webhooks)
    (webhooks.settings.repositories / "main" / "broken.git").mkdir()
    assert len(await _own(webhooks).sweep()) == 1


async def test_a_forges_missed_push_is_found_with_the_connections_token(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Heads of followed refs are compared by `git ls-remote`; the pusher is not known. Slipway's own remote plays the forge."""
    await copy.git("push", webhooks.remote(), "main:feature/one", "main:other")
    webhooks.api.refs = ("refs/heads/feature/*",)
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    webhooks.api.connect("missed", repository="forge/acme/todo", clone_url=f"{webhooks.url}/git/main/todo.git", token=TOKEN)
    async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
        connection = await connections.find("missed")
        assert connection is not None
        (found,) = await sweep.sweep(connection)
        assert (found.repository, found.ref, found.commit) == ("forge/acme/todo", "refs/heads/feature/one", commit)
        assert (found.found_by, found.pusher.person, found.pusher.login) == (FoundBy.SWEEP, None, None)
        assert await sweep.sweep(connection) == []


@pytest.mark.parametrize(
    ("followed", "found"),
    [
        ("refs/heads/main", {"refs/heads/main"}),
        ("refs/heads/release/*", {"refs/heads/release/1/größe"}),
        ("refs/heads/*/größe", {"refs/heads/release/1/größe"}),
        ("refs/tags/v1", {"refs/tags/v1"}),
        ("refs/tags/*-rc", {"refs/tags/v2-rc", "refs/tags/plain-rc"}),
        ("refs/tags/*", {"refs/tags/v1", "refs/tags/v2-rc", "refs/tags/plain-rc"}),
        ("refs/heads/[mn]ain", set()),
        ("refs/heads/m?in", set()),
    ],
)
async def test_what_a_pattern_follows_is_found(webhooks: Webhooks, copy: WorkingCopy, followed: str, found: set[str]) -> None:
    """As `shared.ref_patterns` says, whatever git takes a pattern for; of an annotated tag, the commit that it points to."""
    for name in ("release/1/größe", "releases", "refs/heads/main", "nain"):
        await copy.git("branch", name)
    for name in ("v1", "v2-rc"):
        await copy.git("tag", "-a", name, "-m", name)
    await copy.git("tag", "plain-rc")
    webhooks.api.refs = (followed,)
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect("tagged", repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("tagged")
            assert connection is not None
            changes = await sweep.sweep(connection)
    assert {change.ref: change.commit for change in changes} == dict.fromkeys(found, (await copy.git("rev-parse", "HEAD")).out.strip())


async def test_a_forge_is_not_asked_where_no_ref_is_followed(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """A project may have no environments yet; of a connection with an app no token is made either."""
    webhooks.api.refs = ()
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect("idle", repository="forge/todo", clone_url=forge.url("copy/.git"), has_app=True)
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("idle")
            assert connection is not None
            assert await sweep.sweep(connection) == []
    assert (forge.requests, webhooks.api.made) == ([], [])


async def test_of_many_refs_that_were_missed_here_a_look_takes_some_and_the_next_the_others(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Each takes git a moment, and other repositories wait."""
    await copy.git("push", webhooks.remote(), "main:other")
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    refs = "".join(f"{commit} refs/heads/{number}\n" for number in range(10, 16))
    repository = webhooks.settings.repositories / "main" / "todo.git"
    (repository / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{refs}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("services.webhooks.sweep._MOST_FOUND", 4)
        assert [len(await _own(webhooks).sweep()) for _ in range(3)] == [4, 2, 0]


async def test_of_many_new_refs_a_look_takes_some_and_the_next_the_others(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """A look that took a hundred thousand would keep everybody else waiting."""
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    refs = "".join(f"{commit} refs/heads/{number:04}\n" for number in range(600))
    (copy.path / ".git" / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{refs}")
    webhooks.api.refs = ("refs/heads/*",)
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect("new", repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("new")
            assert connection is not None
            assert [len(await sweep.sweep(connection)) for _ in range(3)] == [500, 101, 0]


async def test_a_forge_with_too_many_refs_is_not_read_to_the_end(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Those that nobody follows are no hindrance; of those that are followed there may be a hundred thousand."""
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    refs = "".join(f"{commit} refs/heads/{number:0100}\n" for number in range(70_000))
    (copy.path / ".git" / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{refs}")
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect("many", repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("many")
            assert connection is not None
            assert [found.ref for found in await sweep.sweep(connection)] == ["refs/heads/main"]
            webhooks.api.refs = ("refs/heads/*",)
            with pytest.raises(Paused, match="more than 8 MB"):
                await sweep.sweep(connection)


async def test_a_forge_that_tells_of_refs_without_end_is_left_before_it_fills_the_memory(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git keeps all of it until the end."""
    monkeypatch.setattr(repositories, "MEMORY", 64 * 2**20)
    async with endless_git() as url, _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
        webhooks.api.connect("endless", repository="forge/todo", clone_url=url)
        connection = await connections.find("endless")
        assert connection is not None
        with pytest.raises(Paused, match=r"(?i)out of memory"):
            await sweep.sweep(connection)


@pytest.mark.parametrize(
    ("kind", "username"),
    [
        ("github", "x-access-token"),
        ("gitlab", "oauth2"),
        ("bitbucket", "x-token-auth"),
        ("bitbucket-data-center", None),
        ("gitea", "slipway"),
    ],
)
async def test_each_forge_is_shown_the_token_as_it_takes_it(webhooks: Webhooks, copy: WorkingCopy, kind: str, username: str | None) -> None:
    """Bitbucket Data Center as Bearer, the others beside a user name. No list of processes shows it while git asks."""
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    with running_forge(copy.path.parent, (username, 'canary/+"\\')) as forge:
        webhooks.api.connect(kind, forge=kind, repository="forge/todo", clone_url=forge.url("copy/.git"), token='canary/+"\\')
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find(kind)
            assert connection is not None
            (found,) = await sweep.sweep(connection)
    assert (found.ref, found.commit) == ("refs/heads/main", commit)
    assert forge.shown == []


async def test_a_connection_with_an_app_is_swept_with_a_token_that_is_made_for_it(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """No list of processes shows it. Where none is made, the reason is in the log, and the forge is asked less and less."""
    with running_forge(copy.path.parent, ("x-access-token", MADE)) as forge:
        for name in ("hub", "refused"):
            webhooks.api.connect(name, repository="forge/todo", clone_url=forge.url("copy/.git"), has_app=True)
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            await connections.refresh()
            await connections.load()  # as after a restart
            hub, refused = await connections.find("hub"), await connections.find("refused")
            assert hub is not None
            assert refused is not None
            assert len(await sweep.sweep(hub)) == 1
            with pytest.raises(Paused, match="the app is not installed"):
                await sweep.sweep(refused)
    assert (webhooks.api.made, forge.shown) == ([CLONE, CLONE], [])


async def test_a_connection_with_a_deploy_key_is_swept_over_ssh(webhooks: Webhooks, copy: WorkingCopy, tmp_path: Path) -> None:
    """No list of processes shows the key, and no other host gets it; one without a key is told what to do."""
    private, public = ssh.generate("canary")
    with running_ssh_forge(tmp_path / "sshd") as forge:
        forge.let_in(public)
        url, name = forge.url(copy.path / ".git"), ssh.known_as("127.0.0.1", forge.port)
        webhooks.api.connect("keyed", repository="forge/todo", clone_url=url, deploy_key=private, known_hosts=forge.known_hosts)
        strange = ssh.known_hosts(name, [ssh.generate("another host")[1]])
        webhooks.api.connect("strange", repository="forge/two", clone_url=url, deploy_key=private, known_hosts=strange)
        webhooks.api.connect("keyless", repository="forge/three", clone_url=url)
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            await connections.refresh()
            await connections.load()  # as after a restart
            keyed, strange_one, keyless = [await connections.find(name) for name in ("keyed", "strange", "keyless")]
            assert keyed is not None
            assert strange_one is not None
            assert keyless is not None
            (found,) = await sweep.sweep(keyed)
            with pytest.raises(Paused, match="Host key verification failed"):
                await sweep.sweep(strange_one)
            with pytest.raises(Paused, match="slipway connections key keyless"):
                await sweep.sweep(keyless)
        assert found.commit == (await copy.git("rev-parse", "HEAD")).out.strip()
        assert "GIT_SSH_COMMAND=ssh" in forge.shown
        for canary in private.splitlines()[1:-1]:
            assert canary not in forge.shown + forge.log


async def test_a_webhook_that_was_on_its_way_comes_first(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """It says who pushed, which the forge's record may not say yet: the sweep leaves it time, and finds nothing then."""
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()

    class ToldMeanwhile(Store):
        """The webhook arrives between the sweep's first look and its second."""

        looks = 0

        async def known_heads(self, connection: str, repository: str) -> dict[str, tuple[str, int]]:
            self.looks += 1
            if self.looks > 1:
                assert (await deliver(webhooks.http, push(commit))).status_code == 202
            return await super().known_heads(connection, repository)

    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect(repository="github.com/Codertocat/Hello-World", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1", store=ToldMeanwhile) as (sweep, connections):
            connection = await connections.find("gh")
            assert connection is not None
            assert await sweep.sweep(connection) == []
    change = await webhooks.coordinator.take()
    assert (change.commit, change.found_by, change.pusher.login) == (commit, FoundBy.DELIVERY, "Codertocat")


async def test_a_webhook_that_comes_late_does_not_have_the_last_word(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """It tells of a commit that a forced push has replaced: the refs, which are as the sweep saw them before, are the truth."""
    commit = (await copy.git("rev-parse", "HEAD")).out.strip()
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect(repository="github.com/Codertocat/Hello-World", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("gh")
            assert connection is not None
            assert [found.commit for found in await sweep.sweep(connection)] == [commit]
            assert (await deliver(webhooks.http, push(A))).status_code == 202
            assert [found.commit for found in await sweep.sweep(connection)] == [commit]
            assert await sweep.sweep(connection) == []


async def test_a_forge_at_a_private_address_is_not_asked_without_leave(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """What a user writes into a connection does not lead into the installation's network; the reason in the log says how to allow it."""
    await copy.git("push", webhooks.remote(), "main:other")
    webhooks.api.connect("inside", repository="forge/acme/todo", clone_url=f"{webhooks.url}/git/main/todo.git", token=TOKEN)
    async with _of_forges(webhooks, "10.0.0.0/8") as (sweep, connections):
        connection = await connections.find("inside")
        assert connection is not None
        with pytest.raises(Paused, match=r"127.0.0.1, which is no public address. Name it in SLIPWAY_PRIVATE_FORGES"):
            await sweep.sweep(connection)


async def test_a_push_whose_webhook_is_lost_is_found_within_a_period_and_once(running: Running, api: Api, copy: WorkingCopy) -> None:
    """Also where the webhook arrives later; and the forge is asked no oftener than twice a period."""
    repository, every_s = "github.com/Codertocat/Hello-World", 2.0
    with running_forge(copy.path.parent) as forge:
        api.connect(repository=repository, clone_url=forge.url("copy/.git"))
        async with running(sweep_s=every_s, private_forges=("127.0.0.1",)) as webhooks:
            first = await webhooks.coordinator.take()
            begin, asked = time.monotonic(), len(forge.requests)
            commit = await copy.commit("More")
            change = await webhooks.coordinator.take(within=every_s)
            assert (change.commit, change.found_by, change.repository) == (commit, FoundBy.SWEEP, repository)
            assert (await deliver(webhooks.http, push(commit, before=first.commit))).status_code == 202
            assert await webhooks.coordinator.nothing(within=2 * every_s)
            periods = (time.monotonic() - begin) / every_s
            assert len({first.id, change.id}) == await webhooks.pool.fetchval("SELECT count(*) FROM changes") == 2
    looks = (len(forge.requests) - asked) / REQUESTS_A_LOOK
    assert 1 <= looks <= 2 * periods


@pytest.mark.parametrize(
    ("status", "said", "least", "most"),
    [
        (429, {"Retry-After": "3600"}, 3600, 3600),
        (503, {"Retry-After": "7"}, 120, 120),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{in_ten_minutes}"}, 590, 601),
        (None, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{in_ten_minutes}"}, 590, 601),
        (500, {}, 120, 120),
    ],
)
async def test_a_forge_that_wants_a_pause_gets_it(
    webhooks: Webhooks, copy: WorkingCopy, status: int | None, said: dict[str, str], least: int, most: int
) -> None:
    """As long as it says, or as its limit is used up; where it does not answer as it should, each time for longer."""
    soon = str(int(time.time()) + 600)
    with running_forge(copy.path.parent) as forge:
        forge.refuses, forge.adds = status, {name: value.format(in_ten_minutes=soon) for name, value in said.items()}
        webhooks.api.connect("limited", repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("limited")
            assert connection is not None
            with pytest.raises(Paused) as paused:
                await sweep.sweep(connection)
            assert least <= paused.value.wait.total_seconds() <= most
            assert await webhooks.pool.fetchval("SELECT count(*) FROM changes") == (0 if status else 1)


async def test_a_forge_that_does_not_answer_is_asked_less_and_less(webhooks: Webhooks, copy: WorkingCopy) -> None:
    """Up to a quarter of an hour apart; as soon as it answers, as often as ever."""
    with running_forge(copy.path.parent) as forge:
        webhooks.api.connect("away", repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with _of_forges(webhooks, "127.0.0.1") as (sweep, connections):
            connection = await connections.find("away")
            assert connection is not None

            async def wait() -> float:
                with pytest.raises(Paused) as paused:
                    await sweep.sweep(connection)
                return paused.value.wait.total_seconds()

            forge.refuses = 500
            assert [await wait() for _ in range(5)] == [120, 240, 480, 900, 900]
            forge.refuses = None
            assert len(await sweep.sweep(connection)) == 1
            forge.refuses = 500
            assert await wait() == 120


async def test_while_a_pause_lasts_the_forge_is_left_alone(running: Running, api: Api, copy: WorkingCopy) -> None:
    """The next look is put off in the database, for all replicas; a connection that is changed is looked at at once."""
    with running_forge(copy.path.parent) as forge:
        forge.refuses, forge.adds = 429, {"Retry-After": "3600"}
        api.connect(repository="forge/todo", clone_url=forge.url("copy/.git"))
        async with running(sweep_s=0.5, private_forges=("127.0.0.1",)) as webhooks:

            async def put_off() -> bool:
                return bool(await webhooks.pool.fetchval("SELECT sweep_next_at > now() + interval '59 minutes' FROM connections"))

            assert await eventually(put_off)
            asked = len(forge.requests)
            assert await webhooks.coordinator.nothing(within=1.5)
            assert len(forge.requests) == asked
            forge.refuses, forge.adds = None, {}
            api.connect(repository="forge/todo", clone_url=forge.url("copy/.git"), version=2)
            await catalogue_changed(webhooks, "updated")
            assert (await webhooks.coordinator.take()).found_by is FoundBy.SWEEP


async def test_a_look_that_fails_as_nobody_thought_of_ends_no_other(
    running: Running, api: Api, copy: WorkingCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says where, and that connection is asked less and less."""
    api.connect("odd", repository="forge/odd", clone_url="https://[odd/todo.git")
    with running_forge(copy.path.parent) as forge:
        async with running(sweep_s=1.0, private_forges=("127.0.0.1",)) as webhooks:

            async def put_off() -> bool:
                waits = "SELECT sweep_next_at > now() + interval '3 s' FROM connections WHERE name = 'odd'"
                return bool(await webhooks.pool.fetchval(waits))

            assert await eventually(put_off)
            api.connect(repository="forge/todo", clone_url=forge.url("copy/.git"), version=2)
            await catalogue_changed(webhooks, "updated")
            assert (await webhooks.coordinator.take()).found_by is FoundBy.SWEEP
    said = [line for line in map(json.loads, capsys.readouterr().err.splitlines()) if line["event"] == "connection not swept"]
    assert {line["connection"] for line in said} == {"odd"}
    assert all("Traceback" in line["exception"] and "Invalid IPv6 URL" in line["exception"] for line in said)
    assert [line["again_after_s"] for line in said][:2] == [2, 4]


@asynccontextmanager
async def _of_forges(webhooks: Webhooks, *private: str, store: type[Store] = Store) -> AsyncIterator[tuple[ForgeSweep, Connections]]:
    settings = webhooks.settings
    reach = Reach(PRIVATE_FORGES, private)
    async with channel(settings.api_address, settings.tls_dir, "webhooks") as opened, guarded_client(reach) as client:
        catalogue = Catalogue(opened)
        connections = Connections(webhooks.pool, Vault.from_file(settings.master_key_file), catalogue)
        repositories = Repositories(settings.repositories, Path("/nonexistent"), 10**9)
        stored = store(webhooks.pool, Outbox("webhooks"))
        yield ForgeSweep(stored, connections, catalogue, repositories, reach, Pushers(client), 60, GRACE_S), connections
