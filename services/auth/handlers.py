"""The command AuthorizeDeployment: may whoever pushed, or asked, deploy this commit there?"""

from dataclasses import dataclass

from services.auth.decisions import Actor, actor, asking
from services.auth.identities import owner_of
from services.auth.permissions import Resource
from services.auth.store import audit, people
from services.auth.store.audit import Happening
from shared.contracts.changes import Pusher
from shared.contracts.commands import AuthorizeDeployment
from shared.contracts.facts import ApprovalRequested, DeploymentAuthorized, DeploymentDenied
from shared.postgres import UNAVAILABLE, Connection, Pool
from shared.work import Unavailable, Work

Verdict = DeploymentAuthorized | ApprovalRequested | DeploymentDenied
ACTION = "deployment.create"
POLICY = "deployment.approve_policy"


@dataclass(frozen=True)
class Somebody:
    """Who stands behind a deployment, as far as that is known."""

    called: str
    """As the audit log and a denial name them."""
    actor: Actor | None = None
    unknown: Verdict | None = None
    """What is said where `actor` is not known."""


class Authorizer:
    """Decides, and writes the decision to the audit log, once for each attempt however often it is delivered."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, command: AuthorizeDeployment, _work: Work) -> Verdict:
        """The verdict; raises Unavailable while the database is away."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                somebody = await _somebody(connection, command)
                verdict = somebody.unknown or _decide(somebody, command)
                await audit.add(connection, _happening(command, somebody, verdict))
                return verdict
        except UNAVAILABLE as error:
            raise Unavailable("auth's database is away") from error


async def _somebody(connection: Connection, command: AuthorizeDeployment) -> Somebody:
    pusher = command.pusher
    if person := command.subject or (pusher.person if pusher and not command.fork else None):
        found = await asking(connection, person)
        return Somebody(found.name, found) if found else Somebody(person, unknown=_gone(person))
    if command.fork:
        return Somebody(_called(pusher), unknown=_OF_A_FORK)
    if pusher is None or not (pusher.login or pusher.id):
        return Somebody(_called(None), unknown=_NOBODY_SAID)
    return await _on_forge(connection, pusher)


_OF_A_FORK = ApprovalRequested(
    rule="each commit of a fork's change request needs approval",
    reason="It comes from a fork: nothing of it runs, not even its manifest is read, before somebody who may deploy there has looked at "
    "this commit and approves.",
)
_NOBODY_SAID = ApprovalRequested(
    rule="a change whose pusher is not known needs approval",
    reason="The forge did not say who pushed, and a commit's author proves nothing; somebody who may deploy there has to approve.",
)


def _gone(person: str) -> DeploymentDenied:
    return DeploymentDenied(
        rule="only people of this installation may deploy",
        reason=f"{person!r} is no person here (any more). Ask an admin: slipway people list.",
    )


async def _on_forge(connection: Connection, pusher: Pusher) -> Somebody:
    """The person whose account it is. An id that is seen for the first time is kept: from then on the login alone is not enough."""
    login, account = _clean(pusher.login), _clean(pusher.id)
    called = _called(pusher)
    identity = owner_of(await people.candidates(connection, pusher.forge, login, account), login, account)
    found = await actor(connection, identity.person) if identity else None
    if identity is None or found is None:
        account_option = f" --account-id {account}" if account else ""
        command = f"slipway people link <person> {pusher.forge} {login}{account_option}".replace("  ", " ")
        return Somebody(
            called,
            unknown=DeploymentDenied(
                rule=f"only people of this installation may deploy; {called} is linked to nobody",
                reason=f"Link {called} to a person: {command}",
            ),
        )
    if account and not identity.account_id:
        await people.learn_account(connection, identity, account)
    return Somebody(found.name, found)


def _called(pusher: Pusher | None) -> str:
    if pusher is None or not (pusher.login or pusher.id):
        return "unknown"
    login = _clean(pusher.login)
    return f"{pusher.forge} login {login}" if login else f"{pusher.forge} account {_clean(pusher.id)}"


def _decide(somebody: Somebody, command: AuthorizeDeployment) -> Verdict:
    assert somebody.actor is not None
    resource = Resource.of(command.place)
    decision = somebody.actor.may(ACTION, resource, command.kind)
    if decision.allowed and command.needs_approval:
        return _by_policy(somebody, somebody.actor, command)
    if decision.allowed:
        return DeploymentAuthorized(person=somebody.actor.id, rule=decision.rule)
    if decision.approval:
        reason = f"{somebody.called} may see {resource.words}, but not deploy there; somebody who may has to approve."
        return ApprovalRequested(rule=decision.rule, reason=reason)
    grant = f"slipway people grant {somebody.actor.id} deployer {resource}"
    return DeploymentDenied(rule=decision.rule, reason=f"Give {somebody.called} a role there: {grant}")


def _by_policy(somebody: Somebody, who: Actor, command: AuthorizeDeployment) -> Verdict:
    """Whoever may deploy there waits for somebody who may approve, unless they may themselves."""
    resource = Resource.of(command.place)
    decision = who.may(POLICY, resource, command.kind)
    if decision.allowed:
        return DeploymentAuthorized(person=who.id, rule=decision.rule)
    reason = f"{somebody.called} may deploy to {resource.words}, but every deployment there needs approval by an admin."
    return ApprovalRequested(rule=decision.rule, reason=reason)


def _happening(command: AuthorizeDeployment, somebody: Somebody, verdict: Verdict) -> Happening:
    return Happening(
        subject=somebody.actor.id if somebody.actor else somebody.called,
        action=ACTION,
        resource=str(Resource.of(command.place)),
        allowed=isinstance(verdict, DeploymentAuthorized),
        rule=verdict.rule,
        details=f"{type(verdict).__name__}: deployment {command.deployment}, commit {command.commit}, {_clean(command.ref)}",
        organization=command.place.organization,
        key=command.attempt_id,
    )


def _clean(text: str | None) -> str:
    """PostgreSQL has no NUL in text; a forge's JSON may."""
    return (text or "").replace("\0", "\ufffd")
