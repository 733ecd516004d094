"""The builder's clone credential."""

import pytest

from shared.clone_credentials import mint, verify

KEY = b"k" * 32
NOW = 1_800_000_000.0


def test_a_credential_opens_its_repository_until_it_expires() -> None:
    """And no other, and not afterwards."""
    password = mint(KEY, "main", "todo", NOW, lifetime_s=60)
    assert verify(KEY, "main", "todo", password, NOW + 59)
    assert not verify(KEY, "main", "todo", password, NOW + 60)
    assert not verify(KEY, "main", "other", password, NOW)
    assert not verify(b"x" * 32, "main", "todo", password, NOW)


@pytest.mark.parametrize("password", ["", ".", "1.2", "abc.def", f"{int(NOW) + 60}.", f"{int(NOW) + 60}.\ud800", "9" * 5000 + ".a", "²3.a"])
def test_nonsense_is_refused(password: str) -> None:
    """Whatever it is, it is only refused."""
    assert not verify(KEY, "main", "todo", password, NOW)


def test_a_later_expiry_needs_the_key() -> None:
    """The expiry is part of what is signed."""
    expiry, _, mac = mint(KEY, "main", "todo", NOW).partition(".")
    assert not verify(KEY, "main", "todo", f"{int(expiry) + 1}.{mac}", NOW)
