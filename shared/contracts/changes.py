"""What a delivery, a push to Slipway's own remote, or the sweep says, normalised. Written by webhooks, read by coordinator."""

from enum import StrEnum

from pydantic import Field

from shared.messages import Frozen, Message, Slug, UnknownType


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


class Change(Message):
    """A commit of a repository, and who brought it. What is newer is told by `arrival` alone."""

    organization: Slug
    project: Slug
    connection: Slug
    repository: str = Field(description="Stable identity of the repository, e.g. github.com/acme/todo")
    clone_url: str = Field(description="Where the builder clones from; never holds a credential")
    ref: str = Field(description="Where the repository has the commit, by its full name, e.g. refs/heads/main; any Unicode")
    commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    arrival: int = Field(description="Webhooks' arrival number: larger is newer")
    pusher: Pusher
    title: str = Field(
        default="",
        description="First line of the commit message, or the change request's title; at most 200 characters",
    )
    found_by: FoundBy
    delivery: str | None = Field(default=None, description="Id of the stored delivery")
    web_url: str | None = Field(default=None, description="The page of the commit or the change request on the forge")


class ChangePushed(Change):
    """A ref of a repository now stands at a commit.

    Its key is repository, ref and commit, equal only to the last one taken of that ref.
    """

    before: str | None = None
    author: str = ""


class RequestChange(Change):
    """What a change request (a pull request, a merge request) is now: `commit` is the head of its source."""

    number: str = Field(pattern=r"^[0-9]{1,12}$", description="Never given twice in its repository")
    source: str = Field(description="The branch that it comes from, by its short name; any Unicode")
    target: str = Field(description="The branch that it shall go into, by its full name")
    fork: bool = Field(description="Its source is another repository, which people write to who may not write to this one")

    def __str__(self) -> str:
        return f"change request {self.number}"


class ChangeRequestOpened(RequestChange):
    """It was opened, or opened again."""


class ChangeRequestUpdated(RequestChange):
    """Its source has new commits, or it goes to another branch."""


class ChangeRequestClosed(RequestChange):
    """It was closed."""

    merged: bool = False


CHANGES: tuple[type[Change], ...] = (ChangePushed, ChangeRequestOpened, ChangeRequestUpdated, ChangeRequestClosed)
_TYPES = {change.type_name(): change for change in CHANGES}


def decode_change(name: str | None, body: bytes | str) -> Change:
    """A change by its type (CloudEvents); raises `UnknownType` for one that this version does not know."""
    if name not in _TYPES:
        raise UnknownType(f"unknown change {name}")
    return _TYPES[name].decode(body)
