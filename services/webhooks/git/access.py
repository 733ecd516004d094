"""Who may read or push a repository: a Slipway token as password, or the builder's clone credential."""

import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from services.webhooks.catalogue import Authority, Away, Catalogue, NoSuchToken, Person, Project
from services.webhooks.git.repositories import Repository
from shared import clone_credentials

T = TypeVar("T")

REMEMBER_S = 20.0
"""How long an answer is used again: a push asks three times within a second. A revoked token works that much longer."""


class Refused(Exception):
    """The request is refused; `status` is for HTTP, the text for the person."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Visitor:
    """Who was let in. `person` None: the builder, which only reads."""

    person: Person | None
    project: Project


class Access:
    """Lets visitors in, or raises `Refused`."""

    def __init__(self, authority: Authority, catalogue: Catalogue, clone_key: bytes) -> None:
        self._authority = authority
        self._catalogue = catalogue
        self._clone_key = clone_key
        self._people: Memory[Person] = Memory()
        self._decisions: Memory[tuple[bool, str]] = Memory()

    async def admit(self, repository: Repository, headers: Mapping[str, str], *, push: bool) -> Visitor:
        """Who it is, where they may do this; that the project does not exist is told only to those with a token."""
        user, password = _basic(headers.get("authorization", ""))
        person: Person | None
        try:
            if user == clone_credentials.USERNAME:
                person = None
                self._check_builder(repository, password, push=push)
            else:
                person = await self._person(repository, password or user, push=push)
            project = await self._catalogue.project(repository.organization, repository.project)
        except Away as error:
            raise Refused(
                503, f"Slipway cannot check your rights just now ({error}). Nothing was changed; push again in a moment."
            ) from error
        if project is None:
            raise Refused(
                404, f"There is no project {repository.organization}/{repository.project}. Make it first: slipway project create."
            )
        return Visitor(person, project)

    def _check_builder(self, repository: Repository, password: str, *, push: bool) -> None:
        good = clone_credentials.verify(self._clone_key, repository.organization, repository.project, password, time.time())
        if push or not good:
            raise Refused(401, "This clone credential is not valid here, or has expired.")

    async def _person(self, repository: Repository, token: str, *, push: bool) -> Person:
        if not token:
            raise Refused(401, "Give a Slipway token as the password; any user name will do.")
        digest = sha256(token.encode("utf-8", "replace")).hexdigest()
        person = self._people.get(digest)
        if person is None:
            try:
                person = await self._authority.authenticate(token)
            except NoSuchToken as error:
                raise Refused(401, f"This password is no Slipway token that holds: {error}.") from error
            self._people.put(digest, person)
        action, resource = "repository.push" if push else "repository.read", f"project/{repository.organization}/{repository.project}"
        key = f"{person.id} {action} {resource}"
        decision = self._decisions.get(key)
        if decision is None:
            decision = await self._authority.allows(person.id, action, resource)
            self._decisions.put(key, decision)
        allowed, rule = decision
        if not allowed:
            what = "push to" if push else "read"
            raise Refused(403, f"{person.name} may not {what} {repository.organization}/{repository.project}: {rule}.")
        return person


class Memory(Generic[T]):
    """Answers that hold for a short while."""

    def __init__(self, seconds: float = REMEMBER_S, most: int = 1000) -> None:
        self._seconds = seconds
        self._most = most
        self._held: dict[str, tuple[float, T]] = {}

    def get(self, key: str) -> T | None:
        """The answer, while it holds."""
        until, answer = self._held.get(key, (0.0, None))
        return answer if until > time.monotonic() else None

    def put(self, key: str, answer: T) -> None:
        """Remembers; forgets everything where it is too much."""
        if len(self._held) >= self._most:
            self._held.clear()
        self._held[key] = (time.monotonic() + self._seconds, answer)


def _basic(header: str) -> tuple[str, str]:
    """User name and password; empty where there are none (RFC 7617, UTF-8)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password
