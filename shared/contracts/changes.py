"""What a delivery, a push to Slipway's own remote, or the sweep says, normalised. Written by webhooks, read by coordinator."""

from enum import StrEnum

from pydantic import Field

from shared.messages import Frozen, Message, Slug


class FoundBy(StrEnum):
    """How Slipway came to know of a change."""

    DELIVERY = "delivery"
    PUSH = "push"
    SWEEP = "sweep"
    REDELIVERY = "redelivery"
    """A person had a delivery read again: it leads to a deployment even where the commit is the last one taken."""


class Pusher(Frozen):
    """Who pushed, as the forge says it. The commit's author proves nothing and is not asked."""

    forge: str = Field(
        description="Whose accounts: github, gitlab or bitbucket for the public ones, <kind>:<host> for a server of one's own; slipway"
    )
    login: str | None = Field(default=None, description="The account's name on that forge; any Unicode")
    id: str | None = Field(default=None, description="The account's immutable id on that forge")
    email: str | None = None
    person: str | None = Field(
        default=None,
        description="Slipway's own person id, where the push was made with a token",
    )


class ChangePushed(Message):
    """A ref of a repository now stands at a commit.

    Its key is repository, ref and commit, equal only to the last one taken of that ref;
    what is newer is told by `arrival` alone.
    """

    organization: Slug
    project: Slug
    connection: Slug
    repository: str = Field(description="Stable identity of the repository, e.g. github.com/acme/todo")
    clone_url: str = Field(description="Where the builder clones from; never holds a credential")
    ref: str = Field(description="Full name, e.g. refs/heads/main; any Unicode")
    commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    before: str | None = None
    arrival: int = Field(description="Webhooks' arrival number: larger is newer")
    pusher: Pusher
    title: str = Field(
        default="",
        description="First line of the commit message, at most 200 characters",
    )
    author: str = ""
    found_by: FoundBy
    delivery: str | None = Field(default=None, description="Id of the stored delivery")
    web_url: str | None = Field(default=None, description="The commit's page on the forge")
