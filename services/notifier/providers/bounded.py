"""Bounds for apprise, which calls blocking libraries itself: each message has a thread, which ends with its time, and its requests are checked."""

import asyncio
import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TypeVar
from urllib.parse import urlsplit

from shared.guarded_http import READ_BYTES

T = TypeVar("T")
Check = Callable[[str, int], None]
"""Whether a host and port may be called: raises where they may not."""

STEP_S = 10.0
"""For a connection, and for each time that something is read."""

_thread = threading.local()


class _Over(SystemExit):
    """Nobody waits for this thread any more."""


async def in_thread(work: Callable[[], T], check: Check) -> T:
    """What work in a thread of its own answers; hosts are checked before each request.

    Where this is cancelled, the thread ends as soon as it reads the next byte, or waits in vain for one.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[], None]) -> None:
        if not done.done():
            set_outcome()

    def run() -> None:
        with suppress(_Over, RuntimeError):  # a loop that has ended wants no answer
            try:
                _bound_requests()
                _thread.check = check
                outcome = work()
            except Exception as error:  # noqa: BLE001 -- raised again where it is awaited
                loop.call_soon_threadsafe(settle, lambda error=error: done.set_exception(error))
            else:
                loop.call_soon_threadsafe(settle, lambda: done.set_result(outcome))

    thread = threading.Thread(target=run, name="chat", daemon=True)
    thread.start()
    try:
        return await done
    except asyncio.CancelledError:
        # Time limits hold for each byte: whoever sends one now and then would keep the thread. As an error, apprise would take it for the
        # receiver's, and go on to the next.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Over))
        raise


@cache
def _bound_requests() -> None:
    """There is no other way to what apprise asks `requests` for; other threads' requests stay as they are."""
    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        """Checks, does not wait for long, and reads no more than the beginning."""

        def send(
            self,
            request: requests.PreparedRequest,
            stream: bool = False,
            timeout: float | tuple[float | None, float | None] | None = None,
            verify: bool | str = True,
            cert: str | tuple[str, str] | None = None,
            proxies: dict[str, str] | None = None,
        ) -> requests.Response:
            check: Check | None = getattr(_thread, "check", None)
            if check is None:
                return super().send(request, stream, timeout, verify, cert, proxies)
            target = urlsplit(request.url or "")
            check(target.hostname or "", target.port or (443 if target.scheme == "https" else 80))
            with super().send(request, stream, STEP_S, verify, cert, proxies) as response:
                body = bytearray()
                for chunk in response.iter_content(16 * 1024):
                    body += chunk
                    if len(body) >= READ_BYTES:
                        break
            response._content, response._content_consumed = bytes(body[:READ_BYTES]), True  # noqa: SLF001 -- has no other way in
            return response

    requests.sessions.HTTPAdapter = Adapter  # type: ignore[attr-defined]
