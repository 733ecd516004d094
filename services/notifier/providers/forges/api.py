"""Calls a forge's API, and reads what its refusals mean."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from services.notifier.providers.contract import Outcome, Verdict
from shared.forge_api import ForgeRepository
from shared.guarded_http import Failed, GuardedClient, Response
from shared.outbound import Refused
from shared.rate_limits import pause, retry_after

Body = dict[str, JsonValue]

UNSAID_LIMIT = timedelta(minutes=1)
"""The least wait after a rate limit that does not say how long (GitHub's best practices for the REST API)."""
_LATER = (408, 425, 429)
"""The only errors of the 4xx that another time may pass (RFC 9110, 15.5.9; RFC 8470; RFC 6585).

Of the others, 202 and 409 mean that GitHub would rather merge first, 422 that there is no such commit or a value is not taken.
"""


class Unwilling(Exception):
    """The forge did not do it; ends the delivery with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.error)
        self.verdict = verdict


async def judged(attempt: Awaitable[int | None]) -> Verdict:
    """What came of an attempt to show something, by the status of its last answer: None where there was nothing to show."""
    try:
        status = await attempt
    except Unwilling as unwilling:
        return unwilling.verdict
    except Refused as error:
        return Verdict(Outcome.HOPELESS, error=str(error))
    except Failed as error:
        return Verdict(Outcome.RETRY, error=str(error))
    return Verdict(Outcome.SKIPPED) if status is None else Verdict(Outcome.DELIVERED, status)


class ForgeApi:
    """Sends one request at a time for a repository."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client

    async def call(
        self,
        method: str,
        repository: ForgeRepository,
        path: str,
        body: Body | None = None,
        *,
        good_too: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        """An answer that says that it is done, or is `good_too`. Raises Unwilling, and what the client raises."""
        content = None if body is None else json.dumps(body).encode()
        response = await self._client.send(method, repository.url(path), repository.headers, content)
        if (200 <= response.status < 300 and response.status != 202) or good_too(response):
            return response
        raise Unwilling(refusal(repository.forge, response, datetime.now(UTC)))


def refusal(forge: str, response: Response, now: datetime) -> Verdict:
    """What an answer other than "done" means: wait for a rate limit, another token, another time, or never."""
    status = response.status
    if status in (403, 429) and (wait := _rate_limit(response, now)) is not None:
        return Verdict(Outcome.RETRY, status, _words(forge, response), wait, hold=True)
    if status in (401, 403):
        return Verdict(Outcome.REFUSED, status, _words(forge, response))
    if 200 <= status < 500 and status not in _LATER:
        return Verdict(Outcome.HOPELESS, status, _words(forge, response))
    return Verdict(Outcome.RETRY, status, _words(forge, response), retry_after(response.headers.get("retry-after"), now))


def _words(forge: str, response: Response) -> str:
    """What the forge said, and what to do about it where that can be told."""
    said = f"{forge} answered {response.status}: {response.text()}"
    match response.status:
        case 401:
            return f"{said} (it does not take the token: give the channel another)"
        case 403:
            return f"{said} (the token may lack a right: docs/forges.md lists those that it takes)"
        case 404:
            return f"{said} (it is not there, or the token may not see it)"
        case 301 | 302 | 307 | 308:
            where = repr(response.headers.get("location", "nowhere"))
            return f"{said} (moved to {where}; redirects are not followed: was it renamed? slipway connections change)"
        case _:
            return said


def _rate_limit(response: Response, now: datetime) -> timedelta | None:
    """How long a rate limit asks to wait; None where the answer is none."""
    wait = pause(response.headers, now)
    if wait is None and (response.status == 429 or b"rate limit" in response.body.lower()):
        wait = UNSAID_LIMIT
    return wait
