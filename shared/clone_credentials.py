"""Short-lived credentials with which the builder clones from Slipway's own git remote.

User name `slipway-clone`; the password is `<expiry>.<hex HMAC-SHA256(key, "<org>/<project>.<expiry>")>`, the expiry in
seconds since 1970. Minted by api, checked by webhooks; both read the key from `$SLIPWAY_HOME/keys/clone.key`.
It lets its holder read that one repository until then, and nothing else.
"""

import hmac
import os
import secrets
from pathlib import Path

USERNAME = "slipway-clone"
LIFETIME_S = 6 * 3600
"""Longer than a deployment may wait for a builder and build."""
_LONGEST_S = 7 * 24 * 3600


def read_key(home: Path) -> bytes:
    """The installation's key; made where it is missing (0600), once, whoever comes first."""
    path = home / "keys" / "clone.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            pass  # Another process was quicker; its key stands.
        finally:
            beside.unlink()
    return path.read_bytes()


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
