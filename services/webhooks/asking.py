"""Asking a forge's API: one request, and the pause that its answer wants."""

from datetime import UTC, datetime

from services.webhooks.turns import Paused
from shared.forge_api import ForgeRepository
from shared.guarded_http import READ_BYTES, GuardedClient, Response
from shared.rate_limits import pause

FOUND, UNCHANGED, GONE = 200, 304, 404


class NotSaid(Exception):
    """The forge does not say what it was asked; the text is for the log."""

    def __init__(self, text: str, status: int = FOUND) -> None:
        super().__init__(text)
        self.status = status


async def ask(client: GuardedClient, repository: ForgeRepository, path: str, etag: str = "") -> Response:
    """What is there below the repository; `UNCHANGED`, without a body, where that still has this tag (RFC 9110, section 13.1.2).

    Raises `Paused` where the forge wants a pause, also after an answer that was the last for a while; `NotSaid`, `Failed` or `Refused`.
    """
    conditions = {"If-None-Match": etag} if etag else {}
    answer = await client.send("GET", repository.url(path), repository.headers | conditions)
    asked = answer.status in (FOUND, UNCHANGED)
    text = "the rate limit is used up" if asked else f"{repository.forge} answered {answer.status}: {answer.text()}"
    if (wait := pause(answer.headers, datetime.now(UTC))) is not None:
        raise Paused(wait, text)
    if not asked:
        raise NotSaid(text, answer.status)
    if len(answer.body) >= READ_BYTES:
        raise NotSaid(f"{repository.forge} answered more than {READ_BYTES // 1024**2} MB to {path}")
    return answer
