"""Signatures over raw bytes."""

import hashlib
import hmac
from collections.abc import Sequence


def signed_by_any(secrets: Sequence[str], body: bytes, signature: str) -> bool:
    """Whether `signature` (hex) is the HMAC-SHA256 of the body under one of the secrets: several hold during a rotation.

    Every secret is tried, and each comparison takes the same time wherever it differs.
    """
    claimed = signature.strip().lower().encode("utf-8", "replace")
    good = False
    for secret in secrets:
        # Not hmac.digest: only the object's update() lets other threads run while it reads a large body.
        expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
        good |= hmac.compare_digest(expected, claimed)
    return good
