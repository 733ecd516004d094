"""How each forge's API names a repository and takes a token."""

import pytest

from shared.forge_api import ForgeRepository


@pytest.mark.parametrize(
    ("kind", "identity", "api_url", "url"),
    [
        ("github", "github.com/acme/todo", "", "https://api.github.com/repos/acme/todo/hooks"),
        ("github", "github.acme.example/acme/todo", "", "https://github.acme.example/api/v3/repos/acme/todo/hooks"),
        ("gitlab", "gitlab.com/acme/web/todo", "", "https://gitlab.com/api/v4/projects/acme%2Fweb%2Ftodo/hooks"),
        (
            "gitlab",
            "acme.example/gitlab/acme/todo",
            "https://acme.example/gitlab/api/v4/",
            "https://acme.example/gitlab/api/v4/projects/acme%2Ftodo/hooks",
        ),
        ("bitbucket", "bitbucket.org/acme/todo", "", "https://api.bitbucket.org/2.0/repositories/acme/todo/hooks"),
        (
            "bitbucket-data-center",
            "bitbucket.acme.example/scm/~ada/todo",
            "",
            "https://bitbucket.acme.example/rest/api/latest/projects/~ada/repos/todo/hooks",
        ),
        ("gitea", "git.acme.example/acme/a?b", "http://127.0.0.1:3000/api/v1", "http://127.0.0.1:3000/api/v1/repos/acme/a%3Fb/hooks"),
    ],
)
def test_a_repository_is_named_as_its_forge_does(kind: str, identity: str, api_url: str, url: str) -> None:
    """By owner and name, or by its whole path; nothing of it escapes its place in the address."""
    assert ForgeRepository(kind, identity, api_url, "").url("hooks") == url


def test_the_token_is_shown_as_each_forge_takes_it_and_in_no_representation() -> None:
    """Gitea has a word of its own."""
    gitea, gitlab = (ForgeRepository(kind, "git.example/acme/todo", "", "t0ken") for kind in ("gitea", "gitlab"))
    assert gitea.headers["Authorization"] == "token t0ken"
    assert gitlab.headers["Authorization"] == "Bearer t0ken"
    assert "t0ken" not in repr(gitlab)
