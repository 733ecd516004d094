"""Chat and mail through apprise: only schemes that are known to lead to a chat or a mail server."""

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from services.notifier.channels import Channel
from services.notifier.providers.bounded import STEP_S, Check, in_thread
from services.notifier.providers.contract import Notification, Outcome, Verdict
from services.notifier.wording import Tone, Wording, wording
from shared.guarded_http import Failed, GuardedClient
from shared.outbound import Refused

if TYPE_CHECKING:
    from apprise import NotifyBase

LIMIT_S = 30.0

SERVICES = frozenset({
    "discord", "gchat", "msteams", "opsgenie", "pagerduty", "pover", "pushbullet", "slack", "tgram", "wxteams",
})  # fmt: skip
"""Schemes whose messages go to the service's own hosts, whatever the address says."""

HOSTED = frozenset({
    "gotify", "gotifys", "mailto", "mailtos", "matrix", "matrixs", "mmost", "mmosts", "ntfy", "ntfys", "rocket", "rockets", "workflow", "workflows",
})  # fmt: skip
"""Schemes whose address names the server. Hosts are resolved and checked before each request; apprise then resolves them once more,
so a name that changes its address in between is not caught: the fixed protocols of these schemes limit what it could reach."""

UNSAFE = frozenset({"pgp", "pgpkey", "pgpprv", "pgppub", "redirect", "template", "wkd"})
"""What apprise would read files or other addresses for."""


class ChatProvider:
    """Sends a short text. apprise blocks and loads 45 MB, so it runs in threads and is imported with the first message."""

    def __init__(self, client: GuardedClient, public_url: str = "") -> None:
        self._client = client
        self._public_url = public_url

    async def deliver(self, notification: Notification, channel: Channel) -> Verdict:
        """Delivered when the service or mail server has taken it."""
        scheme = channel.url.partition("://")[0].lower()
        if scheme not in SERVICES | HOSTED:
            allowed = ", ".join(sorted(SERVICES | HOSTED))
            return Verdict(Outcome.HOPELESS, error=f"The scheme {scheme[:20]!r} is not for chat or mail; there are {allowed}.")
        text = wording(notification.event, notification.deployment, self._public_url)
        check = self._check(asyncio.get_running_loop()) if scheme in HOSTED else _goes_where_it_should
        try:
            async with asyncio.timeout(LIMIT_S):
                plugin = await in_thread(partial(_plugin, channel.url), check)
                if scheme in HOSTED:
                    await self._client.address_of(*_server(plugin))
                error = await in_thread(partial(_send, plugin, text), check)
        except Refused as refused:
            return Verdict(Outcome.HOPELESS, error=str(refused))
        except Failed as failed:
            return Verdict(Outcome.RETRY, error=str(failed))
        except TimeoutError:
            return Verdict(Outcome.RETRY, error=f"{scheme} did not answer within {LIMIT_S:.0f} s")
        if error is None:
            return Verdict(Outcome.DELIVERED)
        return Verdict(Outcome.RETRY, error=_without_secrets(error, channel.url) or f"{scheme} did not take the message")

    def _check(self, loop: asyncio.AbstractEventLoop) -> Check:
        """For threads: whether a host may be called, whoever named it (the address, a redirect, a server's own description)."""

        def check(host: str, port: int) -> None:
            asyncio.run_coroutine_threadsafe(self._client.address_of(host, port), loop).result(LIMIT_S)

        return check


def _goes_where_it_should(_host: str, _port: int) -> None:
    """The service's own hosts."""


def _plugin(url: str) -> "NotifyBase":
    from apprise import Apprise, AppriseAsset
    from apprise.plugins import url_to_dict

    said = url_to_dict(url)  # type: ignore[no-untyped-call]
    if said and (unsafe := sorted(UNSAFE & {name.lower() for name in said.get("qsd", ())})):
        raise Refused(
            f"Take {' and '.join(f'{name}=' for name in unsafe)} out of the address: Slipway reads no files and goes nowhere else for it."
        )
    # No files, no images from elsewhere, no plugins of its own making, no redirects.
    asset = AppriseAsset(
        app_id="Slipway", app_desc="Slipway", app_url="", image_url_logo="", image_url_mask="", plugin_paths=[], http_redirects=False
    )
    plugin = Apprise.instantiate(said, asset=asset, suppress_exceptions=True) if said else None
    if plugin is None:
        raise Refused("The address is not complete; see https://github.com/caronc/apprise/wiki for its form.")
    plugin.socket_connect_timeout = plugin.socket_read_timeout = STEP_S
    return plugin


def _server(plugin: "NotifyBase") -> tuple[str, int]:
    host = str(getattr(plugin, "smtp_host", "") or getattr(plugin, "host", "") or "")
    if not host:
        raise Refused("The address names no server.")
    return host, int(getattr(plugin, "port", 0) or 443)


def _send(plugin: "NotifyBase", text: Wording) -> str | None:
    """None where it was taken; else what apprise said of it."""
    with _heard() as lines:
        taken = plugin.notify(body=text.body or text.title, title=text.title, notify_type=_TYPES[text.tone])
    return None if taken else " ".join(lines)[:500]


_TYPES = {Tone.GOOD: "success", Tone.PLAIN: "info", Tone.WARNING: "warning", Tone.BAD: "failure"}


class _Heard(logging.Handler):
    """Keeps what is logged in the thread that made it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What apprise logs in this thread: its only word on why something failed."""
    handler, logger = _Heard(), logging.getLogger("apprise")
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)


def _without_secrets(text: str, url: str) -> str:
    """The text without what stands in the address: its parts may be tokens and passwords."""
    for part in sorted(re.split(r"[/:@?&=#+]+", url.partition("://")[2]), key=len, reverse=True):
        if len(part) >= 6:
            text = text.replace(part, "•••")
    return text
