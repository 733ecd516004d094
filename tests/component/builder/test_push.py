"""PushImage: confirmed, tagged, copied."""

import pytest

from services.builder.registry import ImageName
from shared.contracts.commands import PushImage
from shared.contracts.facts import ImageBuilt, ImagePushed
from shared.work import StepFailure
from tests.component.builder.conftest import Builder
from tests.component.builder.engine import TestEngine
from tests.component.builder.recording import RecordedWork
from tests.component.builder.repository import Repository, push


async def pushed(builder: Builder, command: PushImage, work: RecordedWork | None = None) -> str:
    """Pushes; the image."""
    fact = await builder(command, work)
    assert isinstance(fact, ImagePushed)
    return fact.image


async def test_what_was_built_is_confirmed_and_tagged(builder: Builder, repository: Repository) -> None:
    """By digest, under its key; under another key of the same service it gets a second tag."""
    repository.commit({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    fact = await builder(repository.build(key="first"))
    assert isinstance(fact, ImageBuilt)
    assert await pushed(builder, push(fact.image, "first")) == fact.image
    assert await pushed(builder, push(fact.image, "second")) == fact.image
    for key in ("first", "second"):
        stored = await builder.outside.registry.find("main/todo/web", key)
        assert stored is not None
        assert stored.digest == ImageName.of(fact.image).digest


async def test_an_image_that_was_deleted_by_hand(builder: Builder, repository: Repository) -> None:
    """The failure says what brings it back."""
    repository.commit({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    fact = await builder(repository.build(key="deleted"))
    assert isinstance(fact, ImageBuilt)
    await builder.outside.registry.delete("main/todo/web", ImageName.of(fact.image).digest or "")
    with pytest.raises(StepFailure, match="built again") as failed:
        await builder(push(fact.image, "deleted"))
    assert failed.value.failure.code == "image_missing"


async def test_a_ready_image_is_copied_once(builder: Builder, base: str, engine: TestEngine) -> None:
    """It is resolved to a digest under our own name, and stays what it was for this key whatever the tag becomes."""
    command = push(base, "ready")
    work = RecordedWork(command)
    image = await pushed(builder, command, work)
    assert image.startswith(f"{builder.settings.registry}/main/todo/web@sha256:")
    assert await work.lines() == [f"pulling {base}"]
    assert engine.docker("run", "--rm", "--network=none", image, "echo", "runs") == "runs\n"
    again = RecordedWork(command)
    assert await pushed(builder, push("nowhere.invalid/x:1", "ready"), again) == image
    assert await again.lines() == []


async def test_a_ready_image_by_digest(builder: Builder, base: str) -> None:
    """A name may hold a digest already."""
    name = ImageName.of(base)
    stored = await builder.outside.registry.find(name.repository, name.tag or "")
    assert stored is not None
    image = await pushed(builder, push(f"{name.registry}/{name.repository}@{stored.digest}", "by-digest"))
    assert ImageName.of(image).digest == stored.digest


async def test_a_ready_image_that_does_not_exist(builder: Builder) -> None:
    """And one whose registry cannot be reached, which may pass."""
    with pytest.raises(StepFailure) as failed:
        await builder(push(f"{builder.settings.registry}/no/such:1", "none"))
    assert failed.value.failure.code == "image_missing"
    with pytest.raises(StepFailure) as failed:
        await builder(push("nowhere.invalid/x:1", "away"))
    assert (failed.value.failure.code, failed.value.failure.may_pass) == ("image_unreachable", True)
