from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from embedded.images.cache import Cache
from embedded.images.catalogue import find
from embedded.images.image import MANIFEST_TYPE
from embedded.images.packages import PackageUnavailableError, debian
from embedded.images.provision import EngineRefusedError, ensure, load, postgres_images
from tests.apps.engine import Scratch


def test_an_image_is_sent_once(registry: str, tmp_path: Path) -> None:
    """The first call assembles and sends it, the second finds it, and the registry holds what was promised."""
    cache = Cache(tmp_path)
    first = ensure(["shell"], registry, cache)["shell"]
    second = ensure(["shell"], registry, cache)["shell"]
    assert (first.sent, second.sent) == (True, False)
    assert first.reference == second.reference
    repository, _, tag = first.reference.removeprefix(f"{registry}/").partition(":")
    answer = httpx.get(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST_TYPE}, trust_env=False)
    assert answer.headers["Docker-Content-Digest"] == first.digest


def test_an_emptied_cache_leads_to_the_same_image(registry: str, tmp_path: Path) -> None:
    """What is assembled anew from the same packages has the same digest, so nothing is sent again."""
    first = ensure(["shell"], registry, Cache(tmp_path / "a"))["shell"]
    again = ensure(["shell"], registry, Cache(tmp_path / "b"))["shell"]
    assert (again.digest, again.sent) == (first.digest, False)


def test_several_at_once_assemble_one(tmp_path: Path) -> None:
    """Who asks while an image is being made waits for it, and no half-made one is left."""
    cache = Cache(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        images = list(threads.map(lambda _: cache.get(find("shell")), range(4)))
    assert len({image.digest for image in images}) == 1
    assert [path.name for path in (tmp_path / "images").iterdir() if path.is_dir()] == [images[0].folder.name]


def test_an_unfinished_image_is_made_again(tmp_path: Path) -> None:
    """A folder without a manifest, as a full disk leaves it, counts for nothing."""
    cache = Cache(tmp_path)
    image = cache.get(find("shell"))
    (image.folder / "manifest.json").unlink()
    assert cache.get(find("shell")).digest == image.digest


def test_postgres_is_there_in_every_major_version(registry: str) -> None:
    """The platform gets one reference for each major version that there is."""
    images = postgres_images(registry)
    assert set(images) == {"18", "15"}
    assert images["15"].startswith(f"{registry}/slipway/postgres:15-")


def test_a_package_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The error says which command could not find what."""
    with pytest.raises(PackageUnavailableError, match="no-such-package-here"):
        debian(tmp_path, ["no-such-package-here"])


def test_an_image_is_loaded_without_a_registry(engine: Scratch) -> None:
    """The engine gets it from a file, runs it, and is not asked twice."""
    name = load("registry")
    assert load("registry") == name
    assert "docker-registry" in engine.logs(engine.run(name, "--version")) or engine.wait(engine.run(name, "--version")) == 0


def test_an_engine_that_is_not_there_is_named() -> None:
    """The error has docker's own words."""
    with pytest.raises(EngineRefusedError, match="nowhere"):
        load("shell", engine="unix:///nowhere/docker.sock")
