"""The private key of a GitHub App: what is none, what it signs, and what a wrong clock leads to."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from services.api.forges.app_key import clock_difference, read_key, signed

KEY = RSAKey.generate_key(2048)


def test_what_it_signs_is_good_for_less_than_ten_minutes() -> None:
    """And from a minute ago, since GitHub's clock may be behind."""
    token = jwt.decode(signed("Iv23.app", KEY.as_pem(private=True).decode()), KEY, algorithms=["RS256"])
    now = time.time()
    assert token.claims["iss"] == "Iv23.app"
    assert now - 70 < token.claims["iat"] < now - 50
    assert now < token.claims["exp"] < now + 600


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        ("", "no RSA key in PEM"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "no RSA key in PEM"),
        (ECKey.generate_key("P-256").as_pem(private=True).decode(), "no RSA key in PEM"),
        (KEY.as_pem(private=True, password="secret").decode(), "no RSA key in PEM without a passphrase"),
        (KEY.as_pem(private=False).decode(), "a public key"),
    ],
)
def test_what_is_no_key_of_an_app(pem: str, said: str) -> None:
    """It is refused when it is given."""
    with pytest.raises(ValueError, match=said):
        read_key(pem)


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_short_key_is_refused() -> None:
    """GitHub makes none."""
    with pytest.raises(ValueError, match="fewer than 2048 bits"):
        read_key(RSAKey.generate_key(1024).as_pem(private=True).decode())


@pytest.mark.parametrize(
    ("off", "said"),
    [(600, " The clock here is 600 s ahead of GitHub's: set it."), (-90, " The clock here is 90 s behind GitHub's: set it."), (20, "")],
)
def test_a_wrong_clock_is_said(off: int, said: str) -> None:
    """By the time of the answer, to a second or so; without one nothing is said."""
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=off), usegmt=True)
    found = clock_difference({"date": date})
    assert found in {said, said.replace(str(abs(off)), str(abs(off) + 1)), said.replace(str(abs(off)), str(abs(off) - 1))}
    assert clock_difference({}) == clock_difference({"date": "yesterday"}) == ""
