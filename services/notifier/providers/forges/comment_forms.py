"""How each forge speaks of comments on change requests: a row a forge. Pure.

GitHub: https://docs.github.com/rest/issues/comments; GitLab: https://docs.gitlab.com/api/notes/;
Bitbucket Cloud: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/; Bitbucket Data Center:
https://developer.atlassian.com/server/bitbucket/rest/ (pull requests); Gitea: https://docs.gitea.com/api/ (issueGetComments).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, TypeAdapter

from services.notifier.providers.forges.api import Body

_PER_PAGE = 50


@dataclass(frozen=True)
class Comment:
    """One that is there."""

    id: int
    text: str


@dataclass(frozen=True)
class Listing:
    """Some of the comments; `more`: where the next ones begin, as the forge counts."""

    comments: list[Comment]
    more: int | None = None


@dataclass(frozen=True)
class Form:
    """How a forge speaks of them. Paths are below the repository's; `{number}` is the request's, `{id}` the comment's, `{at}` where to go on."""

    listed: str
    made: str
    one: str
    method: str
    """Of a change."""
    read: Callable[[bytes, int], Listing]
    body: Callable[[str], Body] = lambda text: {"body": text}
    begin: int = 1
    versioned: bool = False
    """A change names the version that it takes the place of."""


class Made(BaseModel):
    """What a forge says of a comment; its version where a change has to name it."""

    id: int
    version: int = 0


class _Plain(Made):
    body: str = ""


class _Raw(BaseModel):
    raw: str = ""


class _OfBitbucket(Made):
    content: _Raw = _Raw()
    deleted: bool = False


class _PageOfBitbucket(BaseModel):
    values: list[_OfBitbucket] = []
    next: str = ""


class _OfDataCenter(Made):
    text: str = ""


class _Activity(BaseModel):
    action: str = ""
    comment: _OfDataCenter | None = None


class _PageOfDataCenter(BaseModel):
    values: list[_Activity] = []
    nextPageStart: int | None = None  # noqa: N815 -- its name there


_PLAIN = TypeAdapter(list[_Plain])


def _all_plain(body: bytes, _at: int = 1) -> Listing:
    """Gitea lists all at once."""
    return Listing([Comment(each.id, each.body) for each in _PLAIN.validate_json(body)])


def _plain(body: bytes, at: int) -> Listing:
    found = _all_plain(body)
    return replace(found, more=at + 1 if len(found.comments) == _PER_PAGE else None)


def _of_bitbucket(body: bytes, at: int) -> Listing:
    page = _PageOfBitbucket.model_validate_json(body)
    there = [Comment(each.id, each.content.raw) for each in page.values if not each.deleted]
    return Listing(there, at + 1 if page.next else None)


def _of_data_center(body: bytes, _at: int) -> Listing:
    page = _PageOfDataCenter.model_validate_json(body)
    there = [Comment(each.comment.id, each.comment.text) for each in page.values if each.action == "COMMENTED" and each.comment]
    return Listing(there, page.nextPageStart)


_GITHUB = Form(
    listed=f"issues/{{number}}/comments?per_page={_PER_PAGE}&page={{at}}",
    made="issues/{number}/comments",
    one="issues/comments/{id}",
    method="PATCH",
    read=_plain,
)
FORMS: Mapping[str, Form] = {
    "github": _GITHUB,
    "gitea": replace(_GITHUB, listed="issues/{number}/comments", read=_all_plain),
    "gitlab": Form(
        listed=f"merge_requests/{{number}}/notes?sort=asc&order_by=created_at&per_page={_PER_PAGE}&page={{at}}",
        made="merge_requests/{number}/notes",
        one="merge_requests/{number}/notes/{id}",
        method="PUT",
        read=_plain,
    ),
    "bitbucket": Form(
        listed=f"pullrequests/{{number}}/comments?pagelen={_PER_PAGE}&page={{at}}",
        made="pullrequests/{number}/comments",
        one="pullrequests/{number}/comments/{id}",
        method="PUT",
        read=_of_bitbucket,
        body=lambda text: {"content": {"raw": text}},
    ),
    "bitbucket-data-center": Form(
        listed=f"pull-requests/{{number}}/activities?limit={_PER_PAGE}&start={{at}}",
        made="pull-requests/{number}/comments",
        one="pull-requests/{number}/comments/{id}",
        method="PUT",
        read=_of_data_center,
        body=lambda text: {"text": text},
        begin=0,
        versioned=True,
    ),
}
"""Every forge, by its kind."""
