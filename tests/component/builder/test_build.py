"""BuildImage on a real engine: what is built, from what, and what is not built again."""

import json

import pytest

from shared.contracts.facts import ImageBuilt
from shared.contracts.manifest import BuildSpec
from shared.contracts.places import Place
from shared.contracts.releases import Sealed
from shared.work import StepFailure
from tests.component.builder.conftest import Builder
from tests.component.builder.engine import TestEngine
from tests.component.builder.recording import RecordedWork
from tests.component.builder.repository import Repository, git

DOCKERFILE = "ARG BASE\nFROM ${BASE}\nCOPY . /app\nRUN echo built $(cat /app/index.txt)\nCMD cat /app/index.txt\n"


async def built(builder: Builder, *arguments: object, **more: object) -> ImageBuilt:
    """Builds, and narrows the fact."""
    fact = await builder(*arguments, **more)  # type: ignore[arg-type]
    assert isinstance(fact, ImageBuilt)
    return fact


async def test_an_image_is_built_from_exactly_the_commit(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """The image holds the files of the asked commit, not of the branch's head, and is in the registry by digest."""
    first = repository.commit({"Dockerfile": DOCKERFILE, "index.txt": "one"})
    repository.commit({"index.txt": "two"})
    command = repository.build(first)
    work = RecordedWork(command)
    fact = await built(builder, command, work)
    assert engine.docker("run", "--rm", "--network=none", fact.image) == "one"
    assert fact.image.startswith(f"{builder.settings.registry}/main/todo/web@sha256:")
    assert not fact.reused
    assert fact.size_bytes > 100_000
    assert "built one" in await work.lines()
    assert "[3/3] RUN echo built $(cat /app/index.txt)" in await work.lines()


async def test_the_same_key_is_not_built_again(builder: Builder, repository: Repository) -> None:
    """With an image under the key in the registry, the source is not even fetched."""
    repository.commit({"Dockerfile": DOCKERFILE, "index.txt": "one"})
    command = repository.build(key="k1")
    first = await built(builder, command)
    gone = command.model_copy(update={"source": command.source.model_copy(update={"clone_url": "file:///nowhere"})})
    again = await built(builder, gone)
    assert again == first.model_copy(update={"reused": True})


async def test_a_fresh_build_takes_nothing_from_the_cache(builder: Builder, repository: Repository) -> None:
    """Its steps run again, where an ordinary build of the same files finds them done; base images are asked for anew."""
    step = "RUN cat /proc/sys/kernel/random/uuid > /id; echo id $(cat /id)\n"
    repository.commit({"Dockerfile": DOCKERFILE + step, "index.txt": "one"})
    images = [(await built(builder, command)).image for command in (repository.build(), repository.build())]
    fresh = repository.build().model_copy(update={"fresh": True})
    images.append((await built(builder, fresh)).image)
    assert images[0] == images[1] != images[2]
    missing = repository.build(build=BuildSpec(args={"BASE": f"{builder.settings.registry}/gone:1"})).model_copy(update={"fresh": True})
    with pytest.raises(StepFailure, match="gone:1"):
        await builder(missing)


async def test_cache_mounts_are_a_project_s_and_never_a_fork_s(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """What one build leaves in a cache another may run: a fork's and another project's share none, whatever the manifest says."""
    step = "RUN --mount=type=cache,target=/cache cat /cache/* > /seen; touch /cache/none; echo $WHO >> /cache/who; cat /app/index.txt\n"
    seen: dict[str, str] = {}
    for who, more in (
        ("own", {}),
        ("fork", {"fork": True}),
        ("other", {"place": Place(organization="main", project="other", environment="production")}),
        ("preview", {"place": Place(organization="main", project="todo", environment="pr-8")}),
    ):
        repository.commit({"Dockerfile": DOCKERFILE.replace("COPY", "ARG WHO\nCOPY") + step, "index.txt": who})
        spec = BuildSpec(args={"WHO": who, "BUILDKIT_CACHE_MOUNT_NS": "mine"})
        fact = await built(builder, repository.build(build=spec).model_copy(update=more))
        seen[who] = engine.docker("run", "--rm", "--network=none", fact.image, "cat", "/seen")
    assert seen == {"own": "", "fork": "", "other": "", "preview": "own\n"}


async def test_images_carry_the_instance(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """Every image has the label by which its owner may remove it, and nothing of our environment."""
    repository.commit({"Dockerfile": DOCKERFILE + "RUN env > /env\n", "index.txt": "one"})
    fact = await built(builder, repository.build())
    labels = json.loads(engine.docker("image", "inspect", "--format={{json .Config.Labels}}", fact.image))
    assert labels == {"slipway.instance": builder.settings.instance}
    names = {line.partition("=")[0] for line in engine.docker("run", "--rm", "--network=none", fact.image, "cat", "/env").splitlines()}
    assert names <= {"PATH", "HOME", "PWD", "SHLVL", "BASE", "HOSTNAME"}


async def test_steps_have_the_proxy(builder: Builder, repository: Repository) -> None:
    """With its password; the client itself calls the engine without it."""
    proxy = {"http_proxy": "http://ci:canary@127.0.0.1:9", "no_proxy": "example.com"}
    repository.commit(
        {"Dockerfile": 'ARG BASE\nFROM ${BASE}\nRUN test "$http_proxy $no_proxy" = "http://ci:canary@127.0.0.1:9 example.com"\n'}
    )
    await builder.with_settings(proxy=proxy)(repository.build())


async def test_arguments_of_the_manifest_win(builder: Builder, repository: Repository, engine: TestEngine, base: str) -> None:
    """A default argument is given where the Dockerfile declares it; what the manifest says stands."""
    repository.commit({"Dockerfile": "ARG BASE\nFROM ${BASE}\nARG COLOUR=red\nRUN echo -n $COLOUR > /colour\nCMD cat /colour\n"})
    other = builder.with_settings(build_args={"BASE": base, "COLOUR": "green", "UNDECLARED": "x"})
    fact = await built(other, repository.build())
    assert engine.docker("run", "--rm", "--network=none", fact.image) == "green"
    fact = await built(other, repository.build(build=BuildSpec(args={"COLOUR": "blue"})))
    assert engine.docker("run", "--rm", "--network=none", fact.image) == "blue"


async def test_secrets_stay_out_of_layers_and_logs(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """A build secret can be read by the step that asks for it, and shows neither in the log nor in the image."""
    step = "RUN --mount=type=secret,id=TOKEN,required cat /run/secrets/TOKEN && test $(wc -c < /run/secrets/TOKEN) = 12\n"
    repository.commit({"Dockerfile": f"ARG BASE\nFROM ${{BASE}}\n{step}"})
    sealed = Sealed(values={"TOKEN": builder.seal("s3cret-value"), "OTHER": builder.seal("other-value")})
    command = repository.build(build=BuildSpec(secrets=("TOKEN",)), secrets=sealed)
    work = RecordedWork(command)
    fact = await built(builder, command, work)
    assert "s3cret" not in "\n".join(await work.lines())
    assert "•••" in await work.lines()
    history = engine.docker("history", "--no-trunc", fact.image)
    assert "s3cret" not in history
    assert engine.docker("run", "--rm", "--network=none", fact.image, "sh", "-c", "cat /run/secrets/* || true") == ""


async def test_other_contexts_and_stages(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """Context, Dockerfile and target stage are the manifest's."""
    repository.commit(
        {
            "docker/web.Dockerfile": "ARG BASE\nFROM ${BASE} AS one\nCOPY a /a\nCMD cat /a\nFROM one AS two\nRUN false\n",
            "web/a": "from web",
        }
    )
    spec = BuildSpec(context="web", dockerfile="docker/web.Dockerfile", target="one")
    fact = await built(builder, repository.build(build=spec))
    assert engine.docker("run", "--rm", "--network=none", fact.image) == "from web"


async def test_submodules_are_checked_out(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """A submodule's commit, and its own submodules, are part of the context; relative addresses too."""
    inner = Repository.at(repository.folder.parent / "inner")
    inner.commit({"deep.txt": "deep"})
    outer = Repository.at(repository.folder.parent / "outer")
    outer.commit({"near.txt": "near"})
    git(outer.folder, "submodule", "add", "--quiet", "../inner", "inner")
    outer.commit({})
    git(repository.folder, "submodule", "add", "--quiet", outer.url, "lib/outer")
    repository.commit(
        {"Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY . /app\nCMD cat /app/lib/outer/near.txt /app/lib/outer/inner/deep.txt\n"}
    )
    git(outer.folder, "commit", "--quiet", "--allow-empty", "--message", "Later")
    fact = await built(builder, repository.build())
    assert engine.docker("run", "--rm", "--network=none", fact.image) == "neardeep"


async def test_what_export_ignore_names_is_built_too(builder: Builder, repository: Repository, engine: TestEngine) -> None:
    """The context is the commit as a clone has it, with its modes and links."""
    repository.commit(
        {".gitattributes": "index.txt export-ignore\n", "Dockerfile": DOCKERFILE, "index.txt": "kept", "run.sh": "#!/bin/sh\n"}
    )
    (repository.folder / "run.sh").chmod(0o755)
    (repository.folder / "link").symlink_to("index.txt")
    repository.commit({})
    fact = await built(builder, repository.build())
    listing = engine.docker("run", "--rm", "--network=none", fact.image, "ls", "-l", "/app")
    assert "-rwxr-xr-x" in next(line for line in listing.splitlines() if line.endswith("run.sh"))
    assert "-rw-r--r--" in next(line for line in listing.splitlines() if line.endswith("index.txt"))
    assert listing.rstrip().endswith("link -> index.txt") or "link -> index.txt" in listing


async def test_large_files_elsewhere_are_told_of(builder: Builder, repository: Repository) -> None:
    """A repository with Git LFS is built, and the log says what is not there."""
    repository.commit({".gitattributes": "*.bin filter=lfs -text\n", "Dockerfile": DOCKERFILE, "index.txt": "one"})
    command = repository.build()
    work = RecordedWork(command)
    await built(builder, command, work)
    assert any("Git LFS" in line for line in await work.lines())


async def test_nothing_is_left_behind(builder: Builder, repository: Repository) -> None:
    """After a build, and after a failed one, no checkout and no secret lies about."""
    repository.commit({"Dockerfile": DOCKERFILE, "index.txt": "one"})
    await built(builder, repository.build())
    with pytest.raises(StepFailure):
        await builder(repository.build(build=BuildSpec(dockerfile="nowhere")))
    assert list((builder.settings.state / "work").iterdir()) == []
