"""Short-lived credentials with which the builder clones from Slipway's own git remote.

User name `slipway-clone`; the password is `<expiry>.<hex HMAC-SHA256(key, "<org>/<project>.<expiry>")>`, the expiry in
seconds since 1970. Minted by api, checked by webhooks; both read the same key file.
It lets its holder read that one repository until then, and nothing else.
"""

import hmac
from pathlib import Path

USERNAME = "slipway-clone"
LIFETIME_S = 6 * 3600
"""Longer than a deployment may wait for a builder and build."""
_LONGEST_S = 7 * 24 * 3600


def read_key(path: Path) -> bytes:
    """The installation's key (32 bytes); raises `OSError` where there is none, `ValueError` where it is too short to be one."""
    key = path.read_bytes()
    if len(key) < 32:
        raise ValueError(f"{path} holds no key: it has {len(key)} bytes, and 32 are needed")
    return key


def mint(key: bytes, organization: str, project: str, now: float, lifetime_s: int = LIFETIME_S) -> str:
    """A password that reads the project's repository for `lifetime_s` seconds from `now` (seconds since 1970)."""
    expiry = int(now) + lifetime_s
    return f"{expiry}.{_mac(key, organization, project, expiry)}"


def verify(key: bytes, organization: str, project: str, password: str, now: float) -> bool:
    """Whether the password is genuine, for this project, and not expired. Takes the same time wherever it differs."""
    expiry, _, mac = password.partition(".")
    if not (expiry.isascii() and expiry.isdigit() and len(expiry) <= 12):
        return False
    genuine = hmac.compare_digest(mac.encode("utf-8", "replace"), _mac(key, organization, project, int(expiry)).encode())
    return genuine and now < int(expiry) <= now + _LONGEST_S


def _mac(key: bytes, organization: str, project: str, expiry: int) -> str:
    return hmac.digest(key, f"{organization}/{project}.{expiry}".encode(), "sha256").hex()
