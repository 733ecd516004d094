"""InspectSource on real repositories, on disk and over HTTP."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.builder.clone_address import CloneAddress
from services.builder.handlers import mirrors_of
from services.builder.mirrors import Remote
from shared import ssh
from shared.contracts.commands import OWN_CONNECTION, InspectSource
from shared.contracts.facts import SourceInspected
from shared.work import StepFailure, Unavailable
from tests.component.builder.conftest import Builder
from tests.component.builder.forge import Forge, running_forge
from tests.component.builder.recording import RecordedWork
from tests.component.builder.repository import Repository, git
from tests.component.builder.ssh_forge import SshForge, running_ssh_forge
from tests.endless_git import endless_git

MANIFEST = "services:\n  web: {build: web, watch: [shared], port: 80}\n  api: {build: api, port: 81}\n"
FILES = {"slipway.yaml": MANIFEST, "web/Dockerfile": "FROM scratch\n", "api/Dockerfile": "FROM scratch\n", "shared/x": "1"}
LOGIN = ("ci", "tok/en:with@signs")


async def inspected(builder: Builder, command: InspectSource, work: RecordedWork | None = None) -> SourceInspected:
    """Inspects, and narrows the fact."""
    fact = await builder(command, work)
    assert isinstance(fact, SourceInspected)
    return fact


async def refused(builder: Builder, command: InspectSource, code: str) -> StepFailure:
    """The failure of an inspection that must fail with this code."""
    with pytest.raises(StepFailure) as failed:
        await builder(command)
    assert failed.value.failure.code == code, failed.value.failure
    return failed.value


@pytest.fixture
def forge(repository: Repository) -> Iterator[Forge]:
    """A forge that wants a login and serves the repository's folder."""
    with running_forge(repository.folder.parent, LOGIN) as running:
        yield running


@pytest.fixture
def ssh_forge(tmp_path: Path) -> Iterator[SshForge]:
    """A forge over SSH that lets no key in yet."""
    with running_ssh_forge(tmp_path / "sshd") as running:
        yield running


async def test_manifest_head_title_and_author_are_read(builder: Builder, repository: Repository) -> None:
    """Everything that the plan needs, from the commit itself, in any script."""
    first = repository.commit(FILES, "Grüße, 世界\n\nBody")
    second = repository.commit({"README": "x"})
    fact = await inspected(builder, repository.inspect(first))
    assert set(fact.manifest.services) == {"web", "api"}
    assert (fact.title, fact.author) == ("Grüße, 世界", "Änne Author")
    assert fact.head == second
    assert not fact.stale


async def test_a_commit_may_say_what_no_terminal_should_print(builder: Builder, repository: Repository) -> None:
    """Title and author are told without it: a NUL cannot be stored either."""
    tree = git(repository.folder, "rev-parse", f"{repository.commit(FILES)}^{{tree}}")
    about = f"tree {tree}\nauthor A\x01da <a@example.com> 0 +0000\ncommitter A <a@example.com> 0 +0000\n\nOne\0 \x1b[31mtwo\n"
    commit = git(repository.folder, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", given=about)
    git(repository.folder, "reset", "--quiet", "--soft", commit)
    fact = await inspected(builder, repository.inspect(commit))
    assert (fact.title, fact.author) == ("One two", "Ada")


async def test_trees_change_with_what_a_service_is_made_from(builder: Builder, repository: Repository) -> None:
    """A service's hash follows its context, its Dockerfile and its watched paths, and nothing else."""
    repository.commit(FILES)
    before = (await inspected(builder, repository.inspect())).trees
    repository.commit({"README": "x"})
    assert (await inspected(builder, repository.inspect())).trees == before
    repository.commit({"shared/x": "2"})
    watched = (await inspected(builder, repository.inspect())).trees
    assert watched["web"] != before["web"]
    assert watched["api"] == before["api"]
    repository.commit({"api/main": "2"})
    after = (await inspected(builder, repository.inspect())).trees
    assert after["web"] == watched["web"]
    assert after["api"] != watched["api"]


async def test_a_folder_of_one_s_own_stands_for_the_whole_context(builder: Builder, repository: Repository) -> None:
    """Built from the root, and anew only for the service's folder, its Dockerfile, what is watched and what the context leaves out."""
    text = "services:\n  web: {path: web, build: {context: ., dockerfile: docker/web}, watch: [lock, run.sh]}\n"
    repository.commit({"slipway.yaml": text, "web/x": "1", "docker/web": "FROM scratch\n", "lock": "1", "run.sh": "", "api/x": "1"})

    async def tree(**files: str) -> str:
        repository.commit({name.replace("__", "/"): content for name, content in files.items()})
        return (await inspected(builder, repository.inspect())).trees["web"]

    first = await tree()
    assert await tree(api__x="2", README="x") == first
    changed = [
        await tree(web__x="2"),
        await tree(lock="2"),
        await tree(docker__web="FROM scratch\nLABEL a=b\n"),
        await tree(**{"docker__web.dockerignore": "x"}),
        await tree(**{".dockerignore": "x"}),
    ]
    (repository.folder / "run.sh").chmod(0o755)
    changed.append(await tree())
    assert len({first, *changed}) == 7


async def test_links_and_submodules_are_what_they_lead_to(builder: Builder, repository: Repository, tmp_path: Path) -> None:
    """A link counts by what lies behind it; a submodule, and all in it, by the commit that it is pinned to."""
    inner = Repository.at(tmp_path / "inner")
    inner.commit({"web/Dockerfile": "FROM scratch\n"})
    git(repository.folder, "submodule", "add", "--quiet", inner.url, "vendor/inner")
    text = "services:\n  a: {build: link}\n  b: {build: apps/a, watch: [vendor/inner]}\n  c: {build: vendor/inner/web}\n"
    (repository.folder / "link").symlink_to("apps/a")
    repository.commit({"slipway.yaml": text, "apps/a/Dockerfile": "FROM scratch\n"})
    before = (await inspected(builder, repository.inspect())).trees
    repository.commit({"apps/a/x": "1"})
    linked = (await inspected(builder, repository.inspect())).trees
    assert (linked["a"] != before["a"], linked["b"] != before["b"], linked["c"]) == (True, True, before["c"])
    inner.commit({"x": "1"})
    git(repository.folder / "vendor" / "inner", "pull", "--quiet", inner.url, "main")
    repository.commit({})
    pinned = (await inspected(builder, repository.inspect())).trees
    assert (pinned["a"], pinned["b"] != linked["b"], pinned["c"] != linked["c"]) == (linked["a"], True, True)


async def test_paths_that_are_not_in_the_commit(builder: Builder, repository: Repository) -> None:
    """Each is told with its line, and what was probably meant."""
    text = "services:\n  web:\n    build: apps/wbe\n    watch:\n      - pakages/ui\n      - apps/*\n      - out\n      - package.lock\n"
    (repository.folder / "out").symlink_to("/etc")
    repository.commit({"slipway.yaml": text, "apps/web/Dockerfile": "FROM scratch\n", "packages/ui/x": "1", "package-lock.json": "{}"})
    failure = (await refused(builder, repository.inspect(), "manifest_invalid")).failure
    assert failure.message.splitlines() == [
        "slipway.yaml has 5 problems:",
        "  line 3, column 12: services.web.build.context: there is no `apps/wbe` in the commit; did you mean `apps/web`?",
        "  line 5, column 9: services.web.watch.0: there is no `pakages/ui` in the commit; did you mean `packages/ui`?",
        "  line 6, column 9: services.web.watch.1: there is no `apps/*` in the commit: patterns are not expanded, name the folder or the file",
        "  line 7, column 9: services.web.watch.2: `out` is a link that leads nowhere, or out of the repository",
        "  line 8, column 9: services.web.watch.3: there is no `package.lock` in the commit; did you mean `package-lock.json`?",
    ]


async def test_an_older_commit_is_stale(builder: Builder, repository: Repository) -> None:
    """Strictly in the history of the newest: a child, a brother and the commit itself are not."""
    commits = [repository.commit({**FILES, "n": str(number)}) for number in range(4)]
    git(repository.folder, "checkout", "--quiet", "-b", "other", commits[0])
    brother = repository.commit({"n": "brother"})

    async def stale(commit: str, newest: str) -> bool:
        return (await inspected(builder, repository.inspect(commit, newest))).stale

    assert await stale(commits[0], commits[1])
    assert await stale(commits[0], commits[3])
    assert not await stale(commits[3], commits[0])
    assert not await stale(commits[1], commits[0])
    assert not await stale(commits[2], commits[2])
    assert not await stale(brother, commits[3])
    assert not await stale(commits[0], "0" * 40)
    assert not await stale(commits[0], "../HEAD")
    await refused(builder, repository.inspect("../../HEAD"), "commit_invalid")


async def test_every_problem_of_a_manifest_is_told(builder: Builder, repository: Repository) -> None:
    """With its line and a suggestion."""
    repository.commit({"slipway.yaml": "services:\n  web:\n    prot: 80\n    health: {htpp: /}\n"})
    failure = (await refused(builder, repository.inspect(), "manifest_invalid")).failure
    assert "line 3, column 5: services.web.prot: unknown key `prot`; did you mean `port`?" in failure.message
    assert "line 4" in failure.message


async def test_without_a_manifest_the_dockerfile_speaks(builder: Builder, repository: Repository) -> None:
    """One service `web` on the exposed port."""
    repository.commit({"Dockerfile": "FROM scratch\nEXPOSE 8080/tcp\n"})
    fact = await inspected(builder, repository.inspect())
    assert {name: service.port for name, service in fact.manifest.services.items()} == {"web": 8080}


async def test_an_empty_repository_says_what_to_write(builder: Builder, repository: Repository) -> None:
    """Neither manifest nor Dockerfile; a file that was probably meant is named."""
    repository.commit({"README": "x"})
    failure = (await refused(builder, repository.inspect(), "manifest_invalid")).failure
    assert "services:\n  web:\n    port: 8080" in failure.message
    repository.commit({"slipway.yml": MANIFEST})
    failure = (await refused(builder, repository.inspect(), "manifest_invalid")).failure
    assert "rename it to slipway.yaml" in failure.message


async def test_unicode_refs(builder: Builder, repository: Repository) -> None:
    """A branch may have any name that git allows."""
    repository.commit(FILES)
    git(repository.folder, "checkout", "--quiet", "-b", "feature/größe-🚀")
    commit = repository.commit({"n": "2"})
    fact = await inspected(builder, repository.inspect(commit, ref="refs/heads/feature/größe-🚀"))
    assert fact.head == commit


async def test_an_annotated_tag_stands_at_its_commit(builder: Builder, repository: Repository) -> None:
    """The head of a tag is the commit behind it, not the tag's own object."""
    commit = repository.commit(FILES)
    git(repository.folder, "tag", "--annotate", "--message", "One", "v1")
    assert (await inspected(builder, repository.inspect(commit, ref="refs/tags/v1"))).head == commit
    assert (await inspected(builder, repository.inspect(commit, ref="refs/tags/none"))).head is None


async def test_a_credential_is_shown_to_its_host_and_kept_nowhere(builder: Builder, repository: Repository, forge: Forge) -> None:
    """The login works with any signs in it, and is in no file, log or answer afterwards."""
    repository.commit(FILES)
    command = repository.inspect(clone_url=forge.url("repository/.git"), username=LOGIN[0], password=builder.seal(LOGIN[1]))
    work = RecordedWork(command)
    fact = await inspected(builder, command, work)
    assert fact.head == repository.head
    assert forge.shown == []
    kept = [path for path in builder.settings.state.rglob("*") if path.is_file() and LOGIN[1].encode() in path.read_bytes()]
    assert kept == []
    urls = [path for path in builder.settings.state.rglob("config") if b"127.0.0.1" in path.read_bytes()]
    assert urls == []
    assert list(Path("/dev/shm").glob(f"{builder.settings.instance}-builder-*")) == []
    assert work.redactor(f"x {LOGIN[1]} y") == "x ••• y"


async def test_a_token_goes_as_bearer_where_no_user_name_belongs_to_it(builder: Builder, repository: Repository, forge: Forge) -> None:
    """As Bitbucket Data Center takes tokens of projects and repositories; no list of processes shows it."""
    repository.commit(FILES)
    forge.login = (None, 'BBDC-canary/+"\\==')
    sealed = builder.seal(f"{forge.login[1]}\n")
    assert (await inspected(builder, repository.inspect(clone_url=forge.url("repository/.git"), password=sealed))).head == repository.head
    assert set(forge.logins) == {f"Bearer {forge.login[1]}"}
    assert forge.shown == []


async def test_a_deploy_key_reads_over_ssh_and_is_kept_nowhere(builder: Builder, repository: Repository, ssh_forge: SshForge) -> None:
    """No list of processes, file, configuration or log shows it, while the forge is asked or afterwards."""
    repository.commit(FILES)
    over_ssh = builder.with_settings(git_protocols=("ssh",))
    private, public = ssh.generate("canary")
    ssh_forge.let_in(public)
    command = repository.inspect(
        clone_url=ssh_forge.url(repository.folder), password=builder.seal(private), known_hosts=ssh_forge.known_hosts
    )
    work = RecordedWork(command)
    assert (await inspected(over_ssh, command, work)).head == repository.head
    assert "GIT_SSH_COMMAND=ssh" in ssh_forge.shown
    canaries = private.splitlines()[1:-1]
    everything = [path.read_bytes() for path in builder.settings.home.rglob("*") if path.is_file()]
    for canary in canaries:
        assert canary not in ssh_forge.shown + ssh_forge.log
        assert not any(canary.encode() in content for content in everything)
    assert list(Path("/dev/shm").glob(f"{builder.settings.instance}-builder-*")) == []
    assert private.strip() not in work.redactor(f"x {private} y")


async def test_a_deploy_key_is_shown_to_the_host_that_is_known_only(builder: Builder, repository: Repository, ssh_forge: SshForge) -> None:
    """A host with another key gets none, and a key without access is said; neither is tried again and again."""
    repository.commit(FILES)
    over_ssh = builder.with_settings(git_protocols=("ssh",))
    private, public = ssh.generate("canary")
    ssh_forge.let_in(public)
    url, password = ssh_forge.url(repository.folder), builder.seal(private)
    other = ssh.known_hosts(ssh.known_as("127.0.0.1", ssh_forge.port), [ssh.generate("another host")[1]])
    unknown = await refused(over_ssh, repository.inspect(clone_url=url, password=password, known_hosts=other), "clone_host_unknown")
    assert "slipway connections key <connection> --trust" in unknown.failure.message
    assert "publickey" not in ssh_forge.log
    ssh_forge.let_in()
    command = repository.inspect(clone_url=url, password=password, known_hosts=ssh_forge.known_hosts)
    denied = await refused(over_ssh, command, "clone_denied")
    assert not (unknown.failure.may_pass)
    assert not (denied.failure.may_pass)
    assert "check the token or key of its connection" in denied.failure.message


async def test_a_wrong_credential(builder: Builder, repository: Repository, forge: Forge) -> None:
    """The failure says whose credential to check; the value shows nowhere."""
    repository.commit(FILES)
    url = forge.url("repository/.git")
    wrong = await refused(builder, repository.inspect(clone_url=url, username="ci", password=builder.seal("wrong-one")), "clone_denied")
    assert "slipway/todo refused to let the builder in" in wrong.failure.message
    assert "wrong-one" not in wrong.failure.model_dump_json()
    await refused(builder, repository.inspect(clone_url=url), "clone_denied")


async def test_a_redirect_gets_no_credential(builder: Builder, repository: Repository, forge: Forge, tmp_path: Path) -> None:
    """A server that sends the builder to another host does not send the credential along."""
    repository.commit(FILES)
    with running_forge(tmp_path) as elsewhere:
        elsewhere.redirect = f"http://127.0.0.1:{forge.port}"
        command = repository.inspect(clone_url=elsewhere.url("repository/.git"), username=LOGIN[0], password=builder.seal(LOGIN[1]))
        await refused(builder, command, "clone_denied")
    assert set(forge.logins) == {""}


async def test_a_private_address_is_not_cloned_from_without_leave(builder: Builder, repository: Repository, forge: Forge) -> None:
    """What a user writes into a connection does not lead into the installation's network; the failure says how to allow it."""
    repository.commit(FILES)
    url = forge.url("repository/.git")
    strict = builder.with_settings(private_forges=("10.0.0.0/8",))
    command = repository.inspect(clone_url=url, username=LOGIN[0], password=builder.seal(LOGIN[1]))
    failed = await refused(strict, command, "clone_address_private")
    assert "127.0.0.1, which is no public address" in failed.failure.message
    assert "SLIPWAY_PRIVATE_FORGES" in failed.failure.message
    assert not failed.failure.may_pass
    assert forge.requests == []
    proxied = strict.with_settings(proxy={"http_proxy": f"http://127.0.0.1:{forge.port}"})
    await refused(proxied, command, "clone_address_private")
    assert forge.requests == []
    await inspected(builder, command)


@pytest.mark.parametrize("url", ["ssh://git@127.0.0.1/x.git", "git@localhost:x.git", "git://127.0.0.1:9/x.git"])
async def test_no_protocol_leads_to_a_private_address(builder: Builder, repository: Repository, url: str) -> None:
    """Those that know no proxy are checked before, too."""
    repository.commit(FILES)
    strict = builder.with_settings(private_forges=(), git_protocols=("http", "ssh", "git"))
    await refused(strict, repository.inspect(clone_url=url), "clone_address_private")
    await refused(strict.with_settings(private_forges=("127.0.0.1", "localhost")), repository.inspect(clone_url=url), "clone_unreachable")


async def test_a_redirect_to_a_private_address_is_not_followed(builder: Builder, repository: Repository, tmp_path: Path) -> None:
    """A forge that may be called leads the builder nowhere else."""
    repository.commit(FILES)
    with running_forge(tmp_path) as outer, running_forge(tmp_path) as inner:
        outer.redirect = f"http://127.0.0.1:{inner.port}"
        url = f"http://localhost:{outer.port}/repository/.git"
        await refused(builder.with_settings(private_forges=("localhost",)), repository.inspect(clone_url=url), "clone_address_private")
        assert outer.requests
        assert inner.requests == []


async def test_the_own_remote_needs_no_leave(builder: Builder, repository: Repository, forge: Forge, tmp_path: Path) -> None:
    """It is where the installation says, and sends nobody elsewhere."""
    repository.commit(FILES)
    own = {"connection": "slipway", "username": LOGIN[0], "password": builder.seal(LOGIN[1])}
    strict = builder.with_settings(private_forges=())
    await inspected(strict, repository.inspect(clone_url=forge.url("repository/.git"), **own))
    with running_forge(tmp_path) as elsewhere:
        elsewhere.redirect = f"http://127.0.0.1:{forge.port}"
        asked = len(forge.requests)
        with pytest.raises(StepFailure):
            await strict(repository.inspect(clone_url=elsewhere.url("repository/.git"), **own | {"repository": "other"}))
        assert len(forge.requests) == asked


async def test_submodules_of_other_hosts_get_no_credential(builder: Builder, repository: Repository, forge: Forge, tmp_path: Path) -> None:
    """Only the repository's own host sees its credential."""
    inner = Repository.at(tmp_path / "elsewhere" / "inner")
    inner.commit({"x": "1"})
    with running_forge(tmp_path / "elsewhere", ("other", "login")) as elsewhere:
        git(repository.folder, "submodule", "add", "--quiet", inner.url, "inner")
        git(repository.folder, "config", "--file=.gitmodules", "submodule.inner.url", elsewhere.url("inner/.git"))
        repository.commit({"Dockerfile": "FROM scratch\nCOPY . /\n"})
        command = repository.build()
        source = repository.source(clone_url=forge.url("repository/.git"), username=LOGIN[0], password=builder.seal(LOGIN[1]))
        with pytest.raises(StepFailure) as failed:
            await builder(command.model_copy(update={"source": source}))
        assert failed.value.failure.code == "clone_denied"
        assert "submodule inner of slipway/todo" in failed.value.failure.message
        assert set(elsewhere.logins) == {""}


async def test_a_fork_reads_no_other_repository_with_the_connection_s_credential(
    builder: Builder, repository: Repository, forge: Forge
) -> None:
    """A token may read more than one; a fork names the submodules, and another's build may have fetched them before."""
    inner = Repository.at(repository.folder.parent / "inner")
    inner.commit({"x": "1"})
    git(repository.folder, "submodule", "add", "--quiet", inner.url, "inner")
    git(repository.folder, "config", "--file=.gitmodules", "submodule.inner.url", "../../inner/.git")
    repository.commit({"Dockerfile": "FROM scratch\nCOPY . /\n"})
    source = repository.source(clone_url=forge.url("repository/.git"), username=LOGIN[0], password=builder.seal(LOGIN[1]))
    own = repository.build().model_copy(update={"source": source})
    await builder(own)
    with pytest.raises(StepFailure) as failed:
        await builder(own.model_copy(update={"source": source, "key": "of-a-fork", "fork": True}))
    assert failed.value.failure.code == "clone_denied"
    assert "submodule inner of slipway/todo" in failed.value.failure.message


async def test_a_server_that_gives_only_its_refs(builder: Builder, repository: Repository) -> None:
    """Protocol 0 refuses ids that no ref points at; the ref's history has them."""
    first = repository.commit(FILES)
    repository.commit({"n": "2"})
    with running_forge(repository.folder.parent, modern=False) as old:
        fact = await inspected(builder, repository.inspect(first, clone_url=old.url("repository/.git")))
    assert set(fact.trees) == {"web", "api"}


async def test_branches_give_way_to_others_of_longer_names(builder: Builder, repository: Repository) -> None:
    """Where a server gives only its refs and no ref is known, as of a submodule: what is gone there makes room here."""
    mirrors = mirrors_of(builder.settings)
    with running_forge(repository.folder.parent, modern=False) as old:
        remote = Remote("main", "slipway/todo", CloneAddress.of(old.url("repository/.git"), ("http",)))
        for branch in ("a", "a/b", "0/c", "d"):
            git(repository.folder, "checkout", "--quiet", "--orphan", "next")
            commit = repository.commit({"n": branch})
            repository.commit({"n": f"after {branch}"})
            gone = git(repository.folder, "for-each-ref", "--format=%(refname:short)", "refs/heads").replace("next", "").split()
            if gone:
                git(repository.folder, "branch", "--delete", "--force", *gone)
            git(repository.folder, "branch", "--move", branch)
            async with mirrors.holding(remote, commit, "refs/heads/d" if branch == "d" else None) as mirror:
                assert await mirror.read("cat-file", "-e", commit) is not None


async def test_a_commit_that_is_gone(builder: Builder, repository: Repository) -> None:
    """After a forced push and a clean-up the commit is nowhere; the failure says so."""
    repository.commit(FILES)
    for modern in (True, False):
        with running_forge(repository.folder.parent, modern=modern) as forge:
            url = forge.url("repository/.git")
            failure = (await refused(builder, repository.inspect("12" * 20, clone_url=url), "commit_missing")).failure
            assert "commit 121212121212 is not in slipway/todo: it was never pushed there" in failure.message


async def test_what_is_no_commit(builder: Builder, repository: Repository) -> None:
    """A file's id can be fetched like a commit's; the failure does not speak of a missing manifest."""
    repository.commit(FILES)
    blob = git(repository.folder, "rev-parse", f"HEAD:{min(FILES)}")
    with running_forge(repository.folder.parent) as forge:
        failure = (await refused(builder, repository.inspect(blob, clone_url=forge.url("repository/.git")), "commit_missing")).failure
    assert f"{blob[:12]} is not a commit in slipway/todo" in failure.message


async def test_a_repository_that_is_not_there(builder: Builder, repository: Repository, forge: Forge) -> None:
    """No repository, no server, no such protocol, a password in the address: each has its words."""
    repository.commit(FILES)
    forge.login = None
    await refused(builder, repository.inspect(clone_url=forge.url("nowhere.git")), "repository_missing")
    away = await refused(builder, repository.inspect(clone_url="http://127.0.0.1:9/x.git"), "clone_unreachable")
    assert away.failure.may_pass
    gone = await refused(builder, repository.inspect(clone_url="file:///nowhere/at/all"), "repository_missing")
    assert "slipway/todo was not found" in gone.failure.message
    await refused(builder, repository.inspect(clone_url="ssh://git@example.com/x.git"), "clone_address_invalid")
    secret = await refused(builder, repository.inspect(clone_url="http://u:hunter22@127.0.0.1/x.git"), "clone_address_invalid")
    assert "hunter22" not in secret.failure.model_dump_json()


async def test_the_own_remote_is_waited_for(builder: Builder, repository: Repository) -> None:
    """Slipway's own git remote that does not answer is starting again: no attempt has failed for it."""
    repository.commit(FILES)
    with pytest.raises(Unavailable, match="own git remote does not answer"):
        await builder(repository.inspect(clone_url="http://127.0.0.1:9/x.git", connection=OWN_CONNECTION))


async def test_a_source_that_is_too_large(builder: Builder, repository: Repository) -> None:
    """A fetch is ended at the limit; a checkout is measured before it is written."""
    (repository.folder / "noise").write_bytes(os.urandom(3 * 2**20))
    repository.commit({**FILES, "Dockerfile": "FROM scratch\n"})
    small = builder.with_settings(source_limit_bytes=2**20)
    await refused(small, repository.inspect(), "source_too_large")
    await inspected(builder, repository.inspect())
    with pytest.raises(StepFailure, match="MiB"):
        await small(repository.build())


async def test_a_source_of_many_files_that_is_too_large(builder: Builder, repository: Repository, forge: Forge) -> None:
    """Git does not say that it was ended at the limit where it takes the pack as it is; it is fetched once, and not again."""
    repository.commit({**FILES, **{str(number): os.urandom(10_000).hex() for number in range(110)}})
    forge.login = None
    small = builder.with_settings(source_limit_bytes=2**20)
    failed = await refused(small, repository.inspect(clone_url=forge.url("repository/.git")), "source_too_large")
    assert (failed.failure.may_pass, failed.failure.message) == (False, "slipway/todo is larger than a build may fetch (1 MiB)")
    assert sum(request.endswith("/git-upload-pack") for request in forge.requests) == 2, "refs, and the pack"
    assert list(small.settings.state.rglob("tmp_pack_*")) == []


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("slipway.yaml", "manifest_invalid", "larger than 256 KiB"),
        ("Dockerfile", "dockerfile_invalid", "Dockerfile is larger than 1024 KiB"),
        ("slipway.yml", "manifest_invalid", "rename it to slipway.yaml"),
    ],
)
async def test_a_large_file_is_not_read(builder: Builder, repository: Repository, name: str, code: str, words: str) -> None:
    """What takes kilobytes in a pack may be as large as a machine's memory: its size is asked for first."""
    with (repository.folder / name).open("wb") as file:
        file.truncate(150 * 2**20)
    commit = repository.commit({})
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on, see proc(5)
    before = _peak_memory()
    assert words in str(await refused(builder, repository.inspect(commit), code))
    assert _peak_memory() - before < 50 * 2**20


def _peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


async def test_a_commit_with_a_book_for_a_message(builder: Builder, repository: Repository) -> None:
    """It is said so; as what is compared with another one it is not read either."""
    commit = repository.commit(FILES)
    message = repository.folder.parent / "message"
    message.write_text("Title\n\n" + "a line\n" * 300_000)
    book = git(repository.folder, "commit-tree", "HEAD^{tree}", "-p", commit, "-F", str(message))
    git(repository.folder, "update-ref", "refs/heads/main", book)
    await refused(builder, repository.inspect(book), "commit_too_large")
    assert (await inspected(builder, repository.inspect(commit, newest=book))).stale


def _repeated(repository: Repository, levels: int) -> str:
    """A commit of few objects and 10 to the power of the levels empty files."""
    blob = git(repository.folder, "hash-object", "-w", "/dev/null")
    entry = f"100644 blob {blob}"
    for _ in range(levels):
        listing = "".join(f"{entry}\tf{number}\n" for number in range(10))
        entry = f"040000 tree {git(repository.folder, 'mktree', given=listing)}"
    manifest = git(repository.folder, "hash-object", "-w", "--stdin", given="services: {web: {build: wbe}}\n")
    root = git(repository.folder, "mktree", given=f"{entry}\tdeep\n100644 blob {manifest}\tslipway.yaml\n")
    commit = git(repository.folder, "commit-tree", root, "-m", "Many")
    git(repository.folder, "update-ref", "refs/heads/main", commit)
    return commit


async def test_trees_that_repeat_each_other(builder: Builder, repository: Repository) -> None:
    """A kilobyte of trees is a thousand million files: they are not listed to the end, nor laid out."""
    commit = _repeated(repository, 9)
    in_time = builder.with_settings(source_timeout_s=20.0)
    assert "there is no `wbe` in the commit" in str(await refused(in_time, repository.inspect(commit), "manifest_invalid"))
    with pytest.raises(StepFailure, match="more than 200000 files and folders"):
        await in_time(repository.build(commit))


async def test_submodules_count_together(builder: Builder, repository: Repository, tmp_path: Path) -> None:
    """Of what a checkout may take: each alone may be small, and the same one may come again and again."""
    inner = Repository.at(tmp_path / "inner")
    inner.commit({"zeros": "0" * 2**20})
    for number in range(3):
        git(repository.folder, "submodule", "add", "--quiet", inner.url, f"vendor/{number}")
    repository.commit({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    with pytest.raises(StepFailure, match=r"with submodule vendor/2 of slipway/todo, all files take 3 MiB; a build may have 3 MiB"):
        await builder.with_settings(source_limit_bytes=3 * 2**20)(repository.build())
    await builder(repository.build())


async def test_empty_files_take_room(builder: Builder, repository: Repository) -> None:
    """On a disk, and so in what a checkout may take."""
    commit = _repeated(repository, 3)
    with pytest.raises(StepFailure, match="take 4 MiB; a build may have 3 MiB"):
        await builder.with_settings(source_limit_bytes=3 * 2**20)(repository.build(commit))


async def test_a_mirror_is_not_shared_between_connections(builder: Builder, repository: Repository, forge: Forge) -> None:
    """Whoever may not read a repository does not get it from what another has fetched."""
    repository.commit(FILES)
    url = forge.url("repository/.git")
    await inspected(builder, repository.inspect(clone_url=url, username=LOGIN[0], password=builder.seal(LOGIN[1])))
    await refused(builder, repository.inspect(clone_url=url, connection="another"), "clone_denied")


async def test_many_at_once_share_a_mirror(builder: Builder, repository: Repository) -> None:
    """Two builders on one home fetch side by side; each gets what it asked for."""
    commits = [repository.commit({**FILES, "n": str(number)}, f"Number {number}") for number in range(4)]
    facts = await asyncio.gather(*(inspected(builder, repository.inspect(commit)) for commit in commits * 2))
    assert [fact.title for fact in facts] == [f"Number {number}" for number in range(4)] * 2


async def test_what_is_known_is_not_fetched_again(builder: Builder, repository: Repository, forge: Forge) -> None:
    """A commit that was inspected is built without asking the server."""
    forge.login = None
    repository.commit({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    source = repository.source(clone_url=forge.url("repository/.git"))
    command = repository.build().model_copy(update={"source": source})
    await builder(command)
    asked = len(forge.requests)
    await builder(repository.build().model_copy(update={"source": source}))
    assert len(forge.requests) == asked


async def test_a_forge_that_tells_of_refs_without_end_does_not_fill_the_memory(builder: Builder, repository: Repository) -> None:
    """Git keeps all of it until the end; it may have so much."""
    repository.commit(FILES)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("services.builder.git.MEMORY", 64 * 2**20)
        async with endless_git() as url:
            failed = await refused(builder, repository.inspect(clone_url=url), "source_too_large")
    assert "64 MiB" in failed.failure.message
