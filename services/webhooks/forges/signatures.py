"""Signatures over raw bytes, and tokens. Several secrets hold during a rotation; every one is tried."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

from services.webhooks.forges.document import Headers

SIGNING_KEY = "whsec_"
"""How a key begins that signs as Standard Webhooks says (standardwebhooks.com): base64 follows."""
TOLERANCE_S = 300.0
"""How old or how far ahead a signed time may be."""


def signed_by_any(secrets: Sequence[str], body: bytes, signature: str) -> bool:
    """Whether `signature` (hex) is the HMAC-SHA256 of the body under one of the secrets.

    Each comparison takes the same time wherever it differs.
    """
    claimed = signature.strip().lower().encode("utf-8", "replace")
    good = False
    for secret in secrets:
        # Not hmac.digest: only the object's update() lets other threads run while it reads a large body.
        signer = _signer(secret).copy()
        signer.update(body)
        good |= hmac.compare_digest(signer.hexdigest().encode(), claimed)
    return good


@lru_cache(maxsize=1024)
def _signer(secret: str) -> hmac.HMAC:
    """Has read the key; to be copied."""
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def sha256_header_of_any(secrets: Sequence[str], body: bytes, header: str) -> bool:
    """The same for a header `sha256=<hex>`; another scheme is not taken."""
    scheme, _, signature = header.partition("=")
    return scheme == "sha256" and signed_by_any(secrets, body, signature)


def is_any(secrets: Sequence[str], token: str) -> bool:
    """Whether the token is one of the secrets; in constant time."""
    given = token.encode("utf-8", "replace")
    good = False
    for secret in secrets:
        good |= hmac.compare_digest(secret.encode(), given)
    return good and bool(given)


def signed_as_standard_webhooks(secrets: Sequence[str], headers: Headers, body: bytes, now: float) -> bool:
    """Whether `webhook-signature` holds a `v1` signature of id, time and body under one of the `whsec_` keys, and the time is near."""
    identity, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identity or not (moment.isascii() and moment.isdigit()) or abs(now - int(moment[:15])) > TOLERANCE_S:
        return False
    good = False
    claimed = [said[3:].encode("utf-8", "replace") for said in headers.get("webhook-signature", "").split() if said.startswith("v1,")]
    for key in filter(None, map(_key_of, secrets)):
        signer = hmac.new(key, f"{identity}.{moment}.".encode("utf-8", "replace"), hashlib.sha256)
        signer.update(body)
        expected = base64.b64encode(signer.digest())
        for one in claimed:
            good |= hmac.compare_digest(expected, one)
    return good


def _key_of(secret: str) -> bytes:
    """The bytes of a `whsec_` key; empty for what is none."""
    if not secret.startswith(SIGNING_KEY):
        return b""
    try:
        return base64.b64decode(secret.removeprefix(SIGNING_KEY), validate=True)
    except ValueError:
        return b""
