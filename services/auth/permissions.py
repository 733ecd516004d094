"""The one table of permissions, and the decision that it leads to. Pure.

A role is granted on an organization, a project or an environment and holds for everything inside.
Every decision names its rule in words that a person understands.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from shared.contracts.places import EnvironmentKind, Place


class Role(IntEnum):
    """What somebody may do; a higher role may all that a lower one may."""

    VIEWER = 1
    """Sees everything but values of secrets."""
    DEPLOYER = 2
    """Also deploys, rolls back, and changes variables and secrets."""
    ADMIN = 3
    """Also changes what exists and who may do what."""

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, name: str) -> Self:
        """The role of that name in lower case; raises ValueError with the names that exist."""
        try:
            return cls[name.upper()]
        except KeyError:
            raise ValueError(f"{name!r} is no role; there are {', '.join(map(str, cls))}.") from None


_KINDS = ("organization", "project", "environment")


@dataclass(frozen=True)
class Resource:
    """An organization, a project or an environment, by the slugs that lead to it."""

    slugs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `organization/o`, `project/o/p` or `environment/o/p/e`; raises ValueError for anything else."""
        kind, *slugs = text.split("/")
        if kind not in _KINDS or len(slugs) != _KINDS.index(kind) + 1 or not all(slugs):
            raise ValueError(f"{text!r} is no resource: write organization/o, project/o/p or environment/o/p/e.")
        return cls(tuple(slugs))

    @classmethod
    def of(cls, place: Place) -> Self:
        """The environment at that place."""
        return cls((place.organization, place.project, place.environment))

    @property
    def kind(self) -> str:
        """`organization`, `project` or `environment`."""
        return _KINDS[len(self.slugs) - 1]

    @property
    def organization(self) -> str:
        """The slug of the organization that it is, or is in."""
        return self.slugs[0]

    def covers(self, other: "Resource") -> bool:
        """Whether the other is this resource or lies inside it."""
        return other.slugs[: len(self.slugs)] == self.slugs

    def __str__(self) -> str:
        return f"{self.kind}/{'/'.join(self.slugs)}"

    @property
    def words(self) -> str:
        """As a person reads it: `project main/todo`."""
        return f"{self.kind} {'/'.join(self.slugs)}"


@dataclass(frozen=True)
class Grant:
    """A role on a resource."""

    role: Role
    resource: Resource

    def __str__(self) -> str:
        return f"{self.role} on {self.resource.words}"


@dataclass(frozen=True)
class Permission:
    """One row: the action in words (`{}` is where), the least role, and the least role where production is concerned."""

    words: str
    least: Role
    production: Role
    approval: bool = False
    """Whether somebody who has the role may approve the wish of somebody who sees the place but has it not."""


def _everywhere(words: str, least: Role) -> Permission:
    return Permission(words, least, least)


_V, _D, _A = Role.VIEWER, Role.DEPLOYER, Role.ADMIN

PERMISSIONS: dict[str, Permission] = {
    "organization.read": _everywhere("see {}", _V),
    "organization.create": _everywhere("make organizations", _A),
    "organization.update": _everywhere("change {}", _A),
    "organization.delete": _everywhere("delete {}", _A),
    "project.read": _everywhere("see {}", _V),
    "project.create": _everywhere("make projects in {}", _A),
    "project.update": _everywhere("change {}", _A),
    "project.delete": _everywhere("delete {}", _A),
    "environment.read": _everywhere("see {}", _V),
    "environment.create": Permission("make environments in {}", _D, _A),
    "environment.update": Permission("change {}", _D, _A),
    "environment.delete": Permission("remove {}", _D, _A),
    "service.read": _everywhere("see services of {}", _V),
    "service.update": _everywhere("change services of {}", _D),
    "variable.read": _everywhere("see variables of {}", _V),
    "variable.write": _everywhere("change variables of {}", _D),
    "variable.delete": _everywhere("delete variables of {}", _D),
    "secret.read": _everywhere("see names of secrets of {}", _V),
    "secret.write": _everywhere("change secrets of {}", _D),
    "secret.delete": _everywhere("delete secrets of {}", _D),
    "secret.reveal": Permission("reveal secrets of {}", _D, _A),
    "connection.read": _everywhere("see connections of {}", _V),
    "connection.write": _everywhere("change connections of {}", _A),
    "delivery.read": _everywhere("see webhook deliveries of {}", _D),
    "delivery.redeliver": _everywhere("have webhook deliveries of {} read again", _D),
    "channel.read": _everywhere("see channels of {}", _V),
    "channel.write": _everywhere("change channels of {}", _A),
    "subscriber.read": _everywhere("see subscribers of {}", _A),
    "subscriber.write": _everywhere("change subscribers of {}", _A),
    "gate.read": _everywhere("see gates of {}", _V),
    "gate.write": _everywhere("change gates of {}", _A),
    "gate.answer": _everywhere("answer gates of {} in their tool's place", _A),
    "target.read": _everywhere("see targets of {}", _V),
    "target.write": _everywhere("change targets of {}", _A),
    "deployment.read": _everywhere("see deployments of {}", _V),
    "deployment.create": Permission("deploy to {}", _D, _D, approval=True),
    "deployment.rollback": _everywhere("roll back {}", _D),
    "deployment.cancel": _everywhere("cancel deployments of {}", _D),
    "deployment.approve": Permission("approve deployments to {}", _D, _D),
    "deployment.approve_policy": _everywhere("let deployments go on to {}, which asks for approval", _A),
    "deployment.retry": _everywhere("retry stuck deployments of {}", _D),
    "deployment.accept": Permission("accept stuck deployments of {}", _D, _A),
    "log.read": _everywhere("read logs of {}", _V),
    "event.read": _everywhere("follow events of {}", _V),
    "deadletter.read": _everywhere("see dead letters of {}", _A),
    "deadletter.retry": _everywhere("have dead letters of {} sent again", _A),
    "deadletter.drop": _everywhere("drop dead letters of {}", _A),
    "repository.read": _everywhere("fetch the repository of {}", _V),
    "repository.push": _everywhere("push to the repository of {}", _D),
    "person.read": _everywhere("see people of {}", _V),
    "person.create": _everywhere("add people", _A),
    "person.update": _everywhere("change people of {}", _A),
    "person.delete": _everywhere("remove people of {}", _A),
    "role.grant": _everywhere("grant and revoke roles on {}", _A),
    "token.create": _everywhere("make tokens for people of {}", _A),
    "token.revoke": _everywhere("revoke tokens of people of {}", _A),
    "audit.read": _everywhere("read the audit log of {}", _A),
}
"""Every action. What is not here nobody may.

`repository.push` is about Slipway's own remote; what a push deploys is decided again, by `deployment.create`.
`deployment.approve` is about the wish of somebody who may not deploy; `deployment.approve_policy` about an environment
whose deployments all need approval: there deployers wait for an admin, and admins need ask nobody.
"""


@dataclass(frozen=True)
class Decision:
    """The answer to "may X do Y to Z", and why."""

    allowed: bool
    rule: str
    approval: bool = False
    """Somebody with the right may approve instead."""
    grant: Grant | None = None
    """What the person has there: the grant that decided."""


def decide(who: str, grants: Iterable[Grant], action: str, resource: Resource, kind: EnvironmentKind | None = None) -> Decision:
    """Decide by the table. `who` is the name that a denial uses.

    What is not said to be another kind of environment counts as production: a secret of a project reaches
    production too. `organization.create` and `person.create` are asked of any organization.
    """
    permission = PERMISSIONS.get(action)
    if permission is None:
        return Decision(allowed=False, rule=f"no rule lets anybody do {action!r}")
    held = _highest(grants, None if action in ("organization.create", "person.create") else resource)
    least = permission.production if kind in (None, EnvironmentKind.PRODUCTION) else permission.least
    words = permission.words.format(_where(resource, kind))
    if held is not None and held.role >= least:
        return Decision(allowed=True, rule=f"{held} may {words}", grant=held)
    has = f"is {held}" if held else f"has no role on {resource.words}"
    rule = f"only {_or_above(least)} may {words}; {who} {has}"
    return Decision(allowed=False, rule=rule, approval=permission.approval and held is not None, grant=held)


def _highest(grants: Iterable[Grant], resource: Resource | None) -> Grant | None:
    """The highest role that holds there; of equal ones the widest."""
    there = [grant for grant in grants if resource is None or grant.resource.covers(resource)]
    return max(there, key=lambda grant: (grant.role, -len(grant.resource.slugs), str(grant)), default=None)


def _or_above(role: Role) -> str:
    return str(role) if role is Role.ADMIN else f"{role} or above"


def _where(resource: Resource, kind: EnvironmentKind | None) -> str:
    if resource.kind != "environment":
        return resource.words
    slug = resource.slugs[-1]
    return slug if kind is None or kind == slug else f"{slug} ({kind})"


def may_manage(who: str, grants: Iterable[Grant], action: str, of_person: Iterable[Grant]) -> Decision:
    """May `who` change a person (tokens, forge accounts, removal)?

    Needed in every organization in which that person has a role, else an admin of one organization could act in
    another through them. Somebody without a role may be changed by whoever may add people.
    """
    held = tuple(grants)
    organizations = sorted({grant.resource.organization for grant in of_person})
    if not organizations:
        return decide(who, held, "person.create", Resource(("_",)))
    decisions = [decide(who, held, action, Resource((organization,))) for organization in organizations]
    return next((decision for decision in decisions if not decision.allowed), decisions[0])
