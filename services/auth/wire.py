"""Between auth.proto's messages and what auth works with."""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.message import Message

from services.auth import errors
from services.auth.accounts import Profile
from services.auth.audit import Entry
from services.auth.identities import Identity
from services.auth.permissions import Grant
from services.auth.store.audit import Happening
from services.auth.store.tokens import Token
from shared.proto import auth_pb2 as pb

PAGE = 50
LONGEST_PAGE = 500


def refuse_nul(request: Message) -> None:
    """PostgreSQL has no NUL in text."""
    for field, value in request.ListFields():
        if isinstance(value, str) and "\0" in value:
            raise errors.Unusable(f"{field.name} holds the character NUL.")


def page_size(limit: int) -> int:
    """How many a page holds; 0 leaves it to us."""
    return min(limit, LONGEST_PAGE) if limit > 0 else PAGE


def position(after: str) -> int | None:
    """Where the last page of the audit log ended; raises Unusable for what no page has given."""
    if not after:
        return None
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise errors.Unusable(f"{after!r} is not where a page of the audit log ended.")
    return int(after)


def grants(person: str, held: Iterable[Grant]) -> list[pb.RoleGrant]:
    """Roles of a person."""
    return [pb.RoleGrant(person=person, role=str(grant.role), resource=str(grant.resource)) for grant in held]


def identity(linked: Identity) -> pb.Identity:
    """A linked account."""
    return pb.Identity(person=linked.person, forge=linked.forge, login=linked.login, account_id=linked.account_id)


def identity_from(request: pb.Identity) -> Identity:
    """An account as a request names it; forges are lower case."""
    return Identity(request.person, request.forge.strip().lower(), request.login.strip(), request.account_id.strip())


def person(profile: Profile) -> pb.Person:
    """A person with accounts and roles."""
    return pb.Person(
        id=profile.person.id,
        name=profile.person.name,
        email=profile.person.email,
        identities=map(identity, profile.identities),
        grants=grants(profile.person.id, profile.grants),
    )


def token(stored: Token) -> pb.Token:
    """A token as a list shows it."""
    return pb.Token(
        id=stored.id,
        person=stored.person,
        name=stored.name,
        prefix=stored.prefix,
        created_at=_time(stored.created_at),
        expires_at=_time(stored.expires_at),
        last_used_at=_time(stored.last_used_at),
        revoked_at=_time(stored.revoked_at),
    )


def audit_entry(entry: Entry) -> pb.AuditEntry:
    """An entry of the log."""
    return pb.AuditEntry(
        id=entry.id,
        time=_time(entry.time),
        subject=entry.subject,
        action=entry.action,
        resource=entry.resource,
        allowed=entry.allowed,
        rule=entry.rule,
        details=entry.details,
    )


def happening(request: pb.AuditEntry) -> Happening:
    """What another service did. Its id makes it one entry however often it is told."""
    if not request.subject or not request.action:
        raise errors.Unusable("An entry needs who did it and what was done.")
    organization = request.resource.partition("/")[2].split("/")[0]
    return Happening(
        request.subject,
        request.action,
        request.resource,
        request.allowed,
        request.rule,
        request.details,
        organization,
        key=request.id or None,
    )


def _time(value: datetime | None) -> str:
    return value.isoformat().replace("+00:00", "Z") if value else ""
