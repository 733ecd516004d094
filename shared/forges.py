"""Forges apart from what they send: whose accounts are meant, and how git shows a token to each."""

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlsplit

PUBLIC_HOSTS: Mapping[str, str] = {"github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org"}
"""The kinds of forge that mean one server where no host is named."""

CLONE_USERS: Mapping[str, str] = {"github": "x-access-token", "gitlab": "oauth2", "bitbucket": "x-token-auth", "gitea": "slipway"}
"""The user name that belongs to a token, by kind of forge; GitLab and Gitea take any.

A kind that is not here takes tokens without one, as `Authorization: Bearer`: Bitbucket Data Center's of projects and
repositories (confluence.atlassian.com, "HTTP access tokens").
"""


REQUEST_REFS: Mapping[str, str] = {
    "github": "refs/pull/{}/head",
    "gitlab": "refs/merge-requests/{}/head",
    "bitbucket-data-center": "refs/pull-requests/{}/from",
    "gitea": "refs/pull/{}/head",
}
"""Where a repository keeps the commits of a change request, also one of a fork, by kind of forge. Bitbucket Cloud keeps none."""


def server_of(kind: str, address: str) -> str:
    """Whose accounts are meant at an address of a forge: the kind alone on its public host, else `<kind>:<host>`.

    Each server gives ids and logins of its own. A `file:` address without a host is this machine's (RFC 8089).
    """
    host = urlsplit(address).hostname or "localhost"
    return kind if PUBLIC_HOSTS.get(kind) == host else f"{kind}:{host}"


def server_named(text: str) -> str:
    """The same from what a person writes: `gitlab:gitlab.com` is `gitlab`, in any letters."""
    said = text.strip().lower()
    kind, _, host = said.partition(":")
    return kind if PUBLIC_HOSTS.get(kind) == host else said


def kind_of(server: str) -> str:
    """The kind of forge that such a server is of."""
    return server.partition(":")[0]


def credential_config(below: str, username: str | None, token: str) -> str:
    """Configuration of git that shows a token at addresses below this one only, with the first request (git-config(1), http.extraHeader).

    For a file that nobody else can read: arguments and environments stand in lists of processes, and addresses in logs.
    Without a user name the token goes as Bearer (RFC 6750), in which there is no white space: that of a line's end is left out.
    """
    header = f"Authorization: {_authorization(username, token)}"
    return f'[http "{_escaped(below)}"]\n\textraHeader = "{_escaped(header)}"\n'


def _authorization(username: str | None, token: str) -> str:
    if username is None:
        return f"Bearer {''.join(token.split())}"
    return f"Basic {b64encode(f'{username}:{token}'.encode()).decode('ascii')}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
