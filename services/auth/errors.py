"""Why auth does not do what it is asked. The message is for the user."""

from services.auth.permissions import Decision
from services.auth.store.audit import Happening


class Refusal(Exception):
    """Base of what a caller can do something about."""


class Unusable(Refusal):
    """The request makes no sense as it is."""


class Missing(Refusal):
    """What it speaks of is not there."""


class Taken(Refusal):
    """It is somebody else's already."""


class NotPossible(Refusal):
    """It would leave things in a state that nobody could mend."""


class Unauthenticated(Refusal):
    """The token is unknown, expired or revoked."""


class NotPermitted(Refusal):
    """A denial, with the rule that decided and the entry that the audit log gets."""

    def __init__(self, decision: Decision, subject: str, action: str, resource: str) -> None:
        super().__init__(decision.rule)
        organization = resource.partition("/")[2].split("/")[0] or _of(decision)
        self.happening = Happening(subject, action, resource, allowed=False, rule=decision.rule, organization=organization)


def _of(decision: Decision) -> str:
    return decision.grant.resource.organization if decision.grant else ""
