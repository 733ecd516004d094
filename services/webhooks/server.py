"""The HTTP application: deliveries and the git remote. Raw ASGI: a framework's route costs a third of the intake (FACTS)."""

from collections.abc import Awaitable, Callable

import structlog
from starlette.types import Message, Receive, Scope, Send

from shared.problems import Problem

log = structlog.get_logger()

Intake = Callable[[str, Scope, Receive, Send], Awaitable[None]]
Remote = Callable[[Scope, Receive, Send], Awaitable[None]]


class Application:
    """`/hooks/<connection>` goes to intake, `/git/…` to the git remote."""

    def __init__(self, intake: Intake, remote: Remote) -> None:
        self._intake = intake
        self._remote = remote

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. Problems become problem documents; what nobody expected, a 500 without details."""
        if scope["type"] != "http":
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._route(scope, receive, noting)
        except Problem as problem:
            await problem.response(scope["path"])(scope, receive, noting)
        except Exception:  # the process edge: it goes on, the log says what was wrong
            log.exception("request failed", path=scope["path"])
            if not started:
                await Problem(500, "internal-error", "Something went wrong here; the log of webhooks says what.").response()(
                    scope, receive, send
                )

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].split("/")
        if len(parts) == 3 and parts[1] == "hooks" and parts[2]:
            await self._intake(parts[2], scope, receive, send)
        elif len(parts) > 3 and parts[1] == "git":
            await self._remote(scope, receive, send)
        else:
            raise Problem(404, "not-found", "Deliveries go to /hooks/<connection>, git to /git/<organization>/<project>.git.")
