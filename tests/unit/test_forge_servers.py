"""Whose accounts a forge's are (those of its server, not of its kind), and how git shows a token to it."""

import pytest

from shared.forges import credential_config, kind_of, server_of


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


def test_a_token_is_written_as_git_reads_it() -> None:
    """Any signs in address and token, for this address only; without a user name as Bearer, in one line."""
    basic = credential_config("http://127.0.0.1:8080/", "a b", "p:/@")
    assert basic == '[http "http://127.0.0.1:8080/"]\n\textraHeader = "Authorization: Basic YSBiOnA6L0A="\n'
    bearer = credential_config('https://git.example/a"b.git', None, 't"\\k\r\nX-Other: 1\n')
    assert bearer == '[http "https://git.example/a\\"b.git"]\n\textraHeader = "Authorization: Bearer t\\"\\\\kX-Other:1"\n'
