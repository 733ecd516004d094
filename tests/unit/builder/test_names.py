"""Names of images, keys as tags, addresses of repositories, hashes of trees."""

import pytest

from services.builder.clone_address import CloneAddress, UnusableAddress
from services.builder.registry import ImageName, tag_of
from services.builder.retention import Tagged, unneeded
from services.builder.trees import paths_of, tree_hash
from shared.contracts.manifest import BuildSpec, ServiceManifest

PROTOCOLS = ("http", "https", "ssh", "git")


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("acme/api:1.2", "docker.io/acme/api:1.2"),
        ("ghcr.io/acme/api", "ghcr.io/acme/api:latest"),
        ("localhost/x:1", "localhost/x:1"),
        ("127.0.0.1:5000/main/todo/web:key", "127.0.0.1:5000/main/todo/web:key"),
        ("127.0.0.1:5000/a/b@sha256:" + "0" * 64, "127.0.0.1:5000/a/b@sha256:" + "0" * 64),
        ("nginx:1@sha256:" + "0" * 64, "docker.io/library/nginx:1@sha256:" + "0" * 64),
    ],
)
def test_names_are_read_as_docker_does(name: str, full: str) -> None:
    """No host, no path and no tag mean what they mean to Docker."""
    assert str(ImageName.of(name)) == full


def test_a_key_becomes_a_tag() -> None:
    """A hash with its algorithm too; what cannot be a tag is refused."""
    assert tag_of("0123abc") == "0123abc"
    assert tag_of("sha256:0123abc") == "sha256-0123abc"
    for key in ("", "-x", "a/b", "a" * 129, "ä"):
        with pytest.raises(ValueError, match="cannot be the tag"):
            tag_of(key)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc", "uses file; allowed are"),
        ("ext::sh -c id", "white space"),
        ("--upload-pack=id", "no protocol"),
        ("/some/path", "no protocol"),
        ("https://u:p@example.com/x", "holds a password"),
        ("https:///x", "names no host"),
        ("ssh://-oProxyCommand=id/x", "names no host"),
        ("https://example.com:99999/x", "not valid"),
        ("https://exa\u202emple.com/x", "control characters"),
    ],
)
def test_addresses_that_git_is_not_given(url: str, why: str) -> None:
    """Each is refused with its reason."""
    with pytest.raises(UnusableAddress, match=why):
        CloneAddress.of(url, PROTOCOLS)


def test_addresses_that_git_is_given() -> None:
    """The short ssh form, relative submodules, and whom a credential is for."""
    address = CloneAddress.of("git@github.com:acme/todo.git", PROTOCOLS)
    assert address.url == "ssh://git@github.com/acme/todo.git"
    assert address.submodule("../lib.git", PROTOCOLS).url == "ssh://git@github.com/acme/lib.git"
    own = CloneAddress.of("http://me@127.0.0.1:8080/git/main/todo.git", PROTOCOLS)
    assert own.host == "http://127.0.0.1:8080"
    assert own.submodule("./sub", PROTOCOLS).url == "http://me@127.0.0.1:8080/git/main/todo.git/sub"
    with pytest.raises(UnusableAddress):
        own.submodule("file:///etc", PROTOCOLS)


def test_hashes_of_trees() -> None:
    """Any path's id counts, and that one is missing; their order does not."""
    one = tree_hash({"a": "1", "b": None})
    assert one == tree_hash({"b": None, "a": "1"})
    assert len({one, tree_hash({"a": "1"}), tree_hash({"a": "1", "b": "2"}), tree_hash({"a": "2", "b": None})}) == 4
    service = ServiceManifest(build=BuildSpec(context="web", dockerfile="web/Dockerfile"), watch=("lib", "web"))
    assert paths_of(service) == ["lib", "web", "web/.dockerignore", "web/Dockerfile", "web/Dockerfile.dockerignore"]
    narrow = ServiceManifest(path="web", build=BuildSpec(dockerfile="web/Dockerfile"), watch=("lib",))
    assert paths_of(narrow) == [".dockerignore", "lib", "web", "web/Dockerfile", "web/Dockerfile.dockerignore"]
    assert paths_of(ServiceManifest(image="nginx", watch=("conf",))) == ["conf"]


def test_what_retention_lets_go() -> None:
    """A digest goes with all of its tags or not at all; the newest, the used and the recent stay."""
    day = 86400.0
    images = [
        Tagged("a", "d1", 0), Tagged("b", "d2", 1 * day), Tagged("c", "d3", 2 * day), Tagged("d", "d1", 3 * day), Tagged("e", "d4", 9.5 * day),
    ]  # fmt: skip
    now = 10 * day
    assert [image.tag for image in unneeded(images, set(), 2, now)] == ["b", "c"]
    assert [image.tag for image in unneeded(images, {"d2"}, 2, now)] == ["c"]
    assert [image.tag for image in unneeded(images, set(), 1, now)] == ["a", "b", "c", "d"]
    assert unneeded(images, set(), 9, now) == []
