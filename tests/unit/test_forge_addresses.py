"""Where a connection's API is when nobody says so."""

import pytest

from shared.forge_api import api_url_of


@pytest.mark.parametrize(
    ("forge", "clone_url", "api"),
    [
        ("github", "https://github.com/acme/todo.git", "https://api.github.com"),
        ("github", "ssh://git@github.com/acme/todo.git", "https://api.github.com"),
        ("github", "https://github.acme.example/acme/todo.git", "https://github.acme.example/api/v3"),
        ("gitlab", "https://gitlab.com/acme/todo.git", "https://gitlab.com/api/v4"),
        ("gitlab", "https://gitlab.acme.example:8443/acme/todo.git", "https://gitlab.acme.example:8443/api/v4"),
        ("gitlab", "ssh://git@gitlab.acme.example:2222/acme/todo.git", "https://gitlab.acme.example/api/v4"),
        ("bitbucket", "https://bitbucket.org/acme/todo.git", "https://api.bitbucket.org/2.0"),
        ("bitbucket-data-center", "https://bitbucket.acme.example/scm/web/todo.git", "https://bitbucket.acme.example/rest/api/latest"),
        ("gitea", "http://git.acme.example:3000/acme/todo.git", "http://git.acme.example:3000/api/v1"),
        ("bitbucket", "https://elsewhere.example/acme/todo.git", ""),
        ("gitea", "file:///srv/todo.git", ""),
    ],
)
def test_the_api_is_with_the_forge_that_the_repository_is_on(forge: str, clone_url: str, api: str) -> None:
    """The token of an own server goes to no public forge."""
    assert api_url_of(forge, clone_url) == api
