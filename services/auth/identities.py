"""Forge accounts and the people they belong to. Pure."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """An account on a forge: by its immutable id, by its login, or both."""

    person: str
    forge: str
    login: str = ""
    account_id: str = ""

    def __str__(self) -> str:
        return f"{self.forge} login {self.login}" if self.login else f"{self.forge} account {self.account_id}"


def fold(login: str) -> str:
    """The form in which logins are compared: forges do not tell `Octocat` from `octocat`."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", login).casefold())


def owner_of(candidates: Iterable[Identity], login: str, account_id: str) -> Identity | None:
    """The identity that an account on one forge is, among those of that forge.

    The id decides where both sides know it: a login may be given up and taken by somebody else.
    """
    known = tuple(candidates)
    if account_id:
        for identity in known:
            if identity.account_id == account_id:
                return identity
    if login:
        for identity in known:
            unknown_id = not identity.account_id or not account_id
            if unknown_id and identity.login and fold(identity.login) == fold(login):
                return identity
    return None
