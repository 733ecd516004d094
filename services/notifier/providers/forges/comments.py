"""One comment a change request that is kept up to date in place: found by a mark that readers do not see, made or changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, TypeAdapter

from services.notifier.providers.forges.api import Body, ForgeApi, Unwilling
from shared.forge_api import ForgeRepository

LONGEST = 30_000
"""Less than any forge takes, in characters: Bitbucket Data Center 32768."""


@dataclass(frozen=True)
class Comment:
    """A comment that a change request has. `version` counts its changes, where the forge wants to know."""

    id: str
    text: str
    version: int = 0


@dataclass(frozen=True)
class CommentForm:
    """How one forge speaks of comments. Paths are below the repository's; `{number}` is the request's, `{id}` the comment's."""

    all: str
    read: Callable[[bytes], list[Comment]]
    make: str
    change: str
    method: str
    """Of the change."""
    body: Callable[[str, int], Body]
    """A text, and the version that it takes the place of."""


class _Plain(BaseModel):
    id: int
    body: str = ""


class _Raw(BaseModel):
    raw: str = ""


class _OfBitbucket(BaseModel):
    id: int
    content: _Raw = _Raw()
    deleted: bool = False


class _PageOfBitbucket(BaseModel):
    values: list[_OfBitbucket] = []


class _OfDataCenter(BaseModel):
    id: int
    version: int = 0
    text: str = ""


class _Activity(BaseModel):
    action: str = ""
    comment: _OfDataCenter | None = None


class _PageOfDataCenter(BaseModel):
    values: list[_Activity] = []


_PLAIN = TypeAdapter(list[_Plain])


def _plain(body: bytes) -> list[Comment]:
    return [Comment(str(each.id), each.body) for each in _PLAIN.validate_json(body)]


def _of_bitbucket(body: bytes) -> list[Comment]:
    return [Comment(str(each.id), each.content.raw) for each in _PageOfBitbucket.model_validate_json(body).values if not each.deleted]


def _of_data_center(body: bytes) -> list[Comment]:
    found = [each.comment for each in _PageOfDataCenter.model_validate_json(body).values if each.action == "COMMENTED"]
    return [Comment(str(each.id), each.text, each.version) for each in found if each is not None]


_GITHUB_FORM = CommentForm(
    all="issues/{number}/comments?per_page=100&limit=50",
    read=_plain,
    make="issues/{number}/comments",
    change="issues/comments/{id}",
    method="PATCH",
    body=lambda text, _: {"body": text},
)

COMMENTS: Mapping[str, CommentForm] = {
    "github": _GITHUB_FORM,
    "gitea": _GITHUB_FORM,
    "gitlab": CommentForm(
        all="merge_requests/{number}/notes?per_page=100&sort=asc",
        read=_plain,
        make="merge_requests/{number}/notes",
        change="merge_requests/{number}/notes/{id}",
        method="PUT",
        body=lambda text, _: {"body": text},
    ),
    "bitbucket": CommentForm(
        all="pullrequests/{number}/comments?pagelen=100",
        read=_of_bitbucket,
        make="pullrequests/{number}/comments",
        change="pullrequests/{number}/comments/{id}",
        method="PUT",
        body=lambda text, _: {"content": {"raw": text}},
    ),
    "bitbucket-data-center": CommentForm(
        all="pull-requests/{number}/activities?limit=500",
        read=_of_data_center,
        make="pull-requests/{number}/comments",
        change="pull-requests/{number}/comments/{id}",
        method="PUT",
        body=lambda text, version: {"text": text, "version": version},
    ),
}
"""Every forge, by its kind. GitHub's form is Gitea's, too."""


class Comments:
    """Comments on change requests."""

    def __init__(self, api: ForgeApi) -> None:
        self._api = api

    async def put(self, repository: ForgeRepository, number: str, mark: str, text: str) -> int | None:
        """The request's comment with this mark says this from now on; the status of the last answer, None where it said it already.

        Raises as `port.Forge.show`. Once, whatever is asked again: what was made before a crash is found.
        """
        form, whole = COMMENTS[repository.kind], f"{text[:LONGEST]}\n\n{hidden(mark)}"
        response = await self._api.call("GET", repository, form.all.format(number=number))
        marked = [each for each in form.read(response.body) if hidden(mark) in each.text]
        if any(each.text.strip() == whole for each in marked):
            return None
        for found in marked:
            path = form.change.format(number=number, id=found.id)
            try:
                return (await self._api.call(form.method, repository, path, form.body(whole, found.version))).status
            except Unwilling as unwilling:
                # Somebody else's, with our mark in it: it says nothing of our right to comment.
                if unwilling.verdict.status not in (403, 404):
                    raise
        return (await self._api.call("POST", repository, form.make.format(number=number), form.body(whole, 0))).status


def hidden(mark: str) -> str:
    """A definition of a link that nothing refers to: every forge's Markdown leaves it out (CommonMark, 4.7)."""
    return f"[//]: # (slipway {mark})"
