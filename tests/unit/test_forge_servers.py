"""Whose accounts a forge's are: those of its server, not of its kind."""

import pytest

from shared.forges import kind_of, server_of


@pytest.mark.parametrize(
    ("kind", "address", "server"),
    [
        ("github", "https://github.com/acme/todo.git", "github"),
        ("github", "https://GitHub.com:443/acme/todo.git", "github"),
        ("gitlab", "ssh://git@gitlab.com/acme/todo.git", "gitlab"),
        ("bitbucket", "https://bitbucket.org/acme/todo.git", "bitbucket"),
        ("gitlab", "https://git.acme.example/acme/todo.git", "gitlab:git.acme.example"),
        ("gitlab", "ssh://git@git.acme.example:2222/acme/todo.git", "gitlab:git.acme.example"),
        ("gitlab", "https://gitlab.com.evil.example/acme/todo.git", "gitlab:gitlab.com.evil.example"),
        ("gitlab", "https://gitlab.com@evil.example/acme/todo.git", "gitlab:evil.example"),
        ("gitea", "https://github.com/acme/todo.git", "gitea:github.com"),
        ("bitbucket-data-center", "https://bitbucket.acme.example/scm/web/todo.git", "bitbucket-data-center:bitbucket.acme.example"),
        ("gitea", "file:///srv/git/todo.git", "gitea:localhost"),
    ],
)
def test_a_server_is_its_kind_on_the_public_host_and_named_elsewhere(kind: str, address: str, server: str) -> None:
    """Port and path do not matter, and a host that only looks like the public one is another."""
    assert server_of(kind, address) == server
    assert kind_of(server) == kind
