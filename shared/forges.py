"""Forges apart from what they send: whose accounts are meant."""

from collections.abc import Mapping
from urllib.parse import urlsplit

PUBLIC_HOSTS: Mapping[str, str] = {"github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org"}
"""The kinds of forge that mean one server where no host is named."""


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
