"""Comments on change requests, at every forge: the one with our mark is found, made, or changed in place.

GitHub: https://docs.github.com/rest/issues/comments; GitLab: https://docs.gitlab.com/api/notes/;
Bitbucket Cloud: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/; Bitbucket Data Center:
https://developer.atlassian.com/server/bitbucket/rest/ (pull requests); Gitea: https://docs.gitea.com/api/ (issueGetComments).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, TypeAdapter, ValidationError

from services.notifier.comments.markdown import hidden
from services.notifier.providers.contract import Outcome
from services.notifier.providers.forges.api import Body, ForgeApi, Unwilling
from shared.forge_api import ForgeRepository

_PER_PAGE = 50
_MOST_PAGES = 50
"""That are looked through for a comment whose id was lost."""


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


class _Made(BaseModel):
    id: int


class _Plain(_Made):
    body: str = ""


class _Raw(BaseModel):
    raw: str = ""


class _OfBitbucket(_Made):
    content: _Raw = _Raw()
    deleted: bool = False


class _PageOfBitbucket(BaseModel):
    values: list[_OfBitbucket] = []
    next: str = ""


class _OfDataCenter(_Made):
    version: int = 0
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


@dataclass(frozen=True)
class Written:
    """Which comment says it now, and the status of the forge's last answer."""

    id: str
    status: int


@dataclass(frozen=True)
class Comments:
    """Comments on the change requests of repositories."""

    api: ForgeApi

    def of(self, repository: ForgeRepository, number: str, mark: str) -> "Thread":
        """Those of a change request; ours has the mark."""
        return Thread(self.api, repository, FORMS[repository.kind], number, hidden(mark))


@dataclass(frozen=True)
class Thread:
    """The comments of one change request. Every call raises as `port.Forge.show`."""

    api: ForgeApi
    repository: ForgeRepository
    form: Form
    number: str
    mark: str

    async def put(self, text: str, known: str | None) -> Written:
        """Our comment says this: the known one, else the oldest with our mark that may be changed, else a new one.

        So what was made before a crash is found again, one that somebody deleted comes again, and one of an account that the token
        belonged to before is left as it is.
        """
        whole = f"{text}\n\n{self.mark}"
        if known is not None and (written := await self._change(known, whole)) is not None:
            return written
        for found in await self._marked():
            if str(found.id) != known and (written := await self._change(str(found.id), whole)) is not None:
                return written
        response = await self.api.call("POST", self.repository, self._path(self.form.made), self.form.body(whole))
        return Written(str(_Made.model_validate_json(response.body).id), response.status)

    async def _change(self, comment: str, text: str) -> Written | None:
        """None where it is not there, or not ours. A missing right shows when a comment is made."""
        path = self._path(self.form.one, id=comment)
        try:
            body = self.form.body(text) | (await self._version(path) if self.form.versioned else {})
            response = await self.api.call(self.form.method, self.repository, path, body)
        except Unwilling as unwilling:
            if unwilling.verdict.outcome is Outcome.REFUSED or unwilling.verdict.status == 404:
                return None
            if self.form.versioned and unwilling.verdict.status == 409:
                raise Unwilling(replace(unwilling.verdict, outcome=Outcome.RETRY)) from unwilling  # changed meanwhile
            raise
        return Written(comment, response.status)

    async def _version(self, path: str) -> Body:
        response = await self.api.call("GET", self.repository, path)
        return {"version": _OfDataCenter.model_validate_json(response.body).version}

    async def _marked(self) -> list[Comment]:
        """Those with our mark, the oldest first: a copy of ours came after it."""
        found: dict[int, Comment] = {}
        at: int | None = self.form.begin
        for _ in range(_MOST_PAGES):
            if at is None:
                break
            response = await self.api.call("GET", self.repository, self._path(self.form.listed, at=at))
            page = self._read(response.body, at)
            found |= {each.id: each for each in page.comments if self.mark in map(str.strip, each.text.splitlines())}
            at = page.more
        return [found[number] for number in sorted(found)]

    def _read(self, body: bytes, at: int) -> Listing:
        try:
            return self.form.read(body, at)
        except ValidationError:  # more text than is read of an answer: what was made may be there, but a first one must not fail for it
            return Listing([])

    def _path(self, path: str, **more: str | int) -> str:
        return path.format(number=self.number, **more)
