"""The private key of a GitHub App, and what it signs:
https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app. Pure.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

_BACKDATED_S, _ASKING_S = 60, 540
"""GitHub's clock may be behind ours; and it takes no signature for longer than ten minutes."""
_SHORTEST_KEY = 2048


def read_key(pem: str) -> RSAKey:
    """An app's private key; raises `ValueError` for what is none."""
    try:
        key = RSAKey.import_key(pem.strip())
    except (ValueError, TypeError, JoseError) as error:
        raise ValueError("it is no RSA key in PEM without a passphrase") from error
    if not key.is_private:
        raise ValueError("it is a public key")
    if key.raw_value.key_size < _SHORTEST_KEY:
        raise ValueError(f"it has fewer than {_SHORTEST_KEY} bits")
    return key


def signed(app: str, private_key: str) -> str:
    """A JSON Web Token (RS256) by which the app of this id asks, for nine minutes."""
    now = int(time.time())
    claims = {"iss": app, "iat": now - _BACKDATED_S, "exp": now + _ASKING_S}
    return jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, read_key(private_key))


def clock_difference(headers: Mapping[str, str]) -> str:
    """What to do about it, by the `Date` of an answer: GitHub refuses a signature of the future, too."""
    try:
        off = datetime.now(UTC) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return ""
    seconds = round(off.total_seconds())
    return f" The clock here is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} GitHub's: set it." if abs(seconds) > 60 else ""
