"""Comments on change requests: the one with our mark is found, made, or changed in place."""

from dataclasses import dataclass, replace

from pydantic import ValidationError

from services.notifier.comments.markdown import hidden
from services.notifier.providers.contract import Outcome
from services.notifier.providers.forges.api import Body, ForgeApi, Unwilling
from services.notifier.providers.forges.comment_forms import FORMS, Comment, Form, Listing, Made
from shared.forge_api import ForgeRepository

_MOST_PAGES = 50
"""That are looked through for a comment whose id was lost."""


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
        return Written(str(Made.model_validate_json(response.body).id), response.status)

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
        return {"version": Made.model_validate_json(response.body).version}

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
