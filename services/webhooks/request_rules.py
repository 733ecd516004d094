"""Rules of change requests: whether one is a change, and why not."""

import re
from collections.abc import Mapping
from dataclasses import replace

from services.webhooks.domain import Arrival, ChangeRequest, Origin, RequestAction, is_of
from services.webhooks.refs import LONGEST_REF, NO_COMMIT, is_commit, is_ref
from services.webhooks.texts import clean, cleaned_pusher, first_line
from shared.contracts.changes import ChangeRequestClosed, ChangeRequestOpened, ChangeRequestUpdated, RequestChange

_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
_ACTIONS: Mapping[RequestAction, type[RequestChange]] = {
    RequestAction.OPENED: ChangeRequestOpened,
    RequestAction.UPDATED: ChangeRequestUpdated,
    RequestAction.CLOSED: ChangeRequestClosed,
    RequestAction.MERGED: ChangeRequestClosed,
}


def why_ignored(request: ChangeRequest, origin: Origin) -> str:
    """Why a change request leads to no change; empty: it does."""
    if not is_of(request.repository, origin):
        return f"{request}: it is of {request.repository}, and the connection is for {origin.repository}"
    if not _NUMBER.fullmatch(request.number):
        return f"{request}: its number is none"
    ref = request.ref(origin)
    if not ref:
        return f"{request}: this forge keeps no commits of forks in the repository: it cannot be fetched. Push its branch there"
    if any(len(name) > LONGEST_REF or not is_ref(name) for name in (ref, f"refs/heads/{request.target}")):
        return f"{request}: its branch has a name that git does not allow, or a longer one than Slipway takes"
    return ""


def request_change_of(request: ChangeRequest, arrival: Arrival, number: int) -> RequestChange:
    """The message about a change request of which `why_ignored` says nothing, and whose commit is known in full (`cleaned_request`)."""
    origin = arrival.origin
    merged = {"merged": request.action is RequestAction.MERGED} if request.closes else {}
    return _ACTIONS[request.action].model_validate(
        {
            "organization": origin.organization,
            "project": origin.project,
            "connection": origin.connection,
            "repository": origin.repository or request.repository,
            "clone_url": origin.clone_url,
            "ref": request.ref(origin),
            "commit": request.commit,
            "arrival": number,
            "pusher": request.by.model_copy(update={"forge": origin.forge}),
            "title": request.title[:200],
            "found_by": arrival.found_by,
            "delivery": arrival.delivery,
            "web_url": request.web_url,
            "number": request.number,
            "source": request.source,
            "target": f"refs/heads/{request.target}",
            "fork": request.fork,
            **merged,
        }
    )


def cleaned_request(request: ChangeRequest) -> ChangeRequest:
    """The change request with every text fit for storage. One that is over need not say its commit in full."""
    return replace(
        request,
        repository=clean(request.repository)[:500],
        number=clean(request.number)[:50],
        source_repository=clean(request.source_repository)[:500],
        source=clean(request.source),
        target=clean(request.target),
        commit=NO_COMMIT if request.closes and not is_commit(request.commit) else request.commit,
        by=cleaned_pusher(request.by),
        title=first_line(request.title),
        web_url=clean(request.web_url)[:2000] if request.web_url else None,
    )
