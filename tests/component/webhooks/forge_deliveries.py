"""Deliveries of every forge, signed as that forge signs."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping

import httpx

from tests.component.webhooks.deliveries import SECRET, signed
from tests.unit.webhooks.forge_cases import delivery

Sign = Callable[[bytes, str], dict[str, str]]


def standard_webhooks(body: bytes, key: str, identity: str = "key-1") -> dict[str, str]:
    """GitLab's signing token: headers for this moment."""
    moment = str(int(time.time()))
    digest = hmac.new(base64.b64decode(key.removeprefix("whsec_")), f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": signature}


SIGNED: Mapping[str, Sign] = {
    "github": lambda body, secret: {"X-Hub-Signature-256": signed(body, secret)},
    "gitlab": lambda _, secret: {"X-Gitlab-Token": secret},
    "bitbucket": lambda body, secret: {"X-Hub-Signature": signed(body, secret)},
    "bitbucket-data-center": lambda body, secret: {"X-Hub-Signature": signed(body, secret)},
    "gitea": lambda body, secret: {"X-Gitea-Signature": signed(body, secret).removeprefix("sha256=")},
}


async def send(
    http: httpx.AsyncClient,
    forge: str,
    file: str,
    *,
    to: str = "",
    secret: str = SECRET,
    sign: Sign | None = None,
    headers: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
) -> httpx.Response:
    """Sends a stored delivery to the connection of that forge's name, with other headers where they are given."""
    sent, payload = delivery(forge, file)
    body = json.dumps(payload).encode()
    kept = {name: value for name, value in sent.items() if name not in without}
    return await http.post(
        f"/hooks/{to or forge}", content=body, headers=kept | (sign or SIGNED[forge])(body, secret) | dict(headers or {})
    )
