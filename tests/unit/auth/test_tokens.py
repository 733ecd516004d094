"""The form of tokens."""

from services.auth import tokens


def test_a_token_is_recognised_and_kept_as_a_hash() -> None:
    """A minted token has the form, and neither its start nor its digest gives it away."""
    token = tokens.mint()
    assert tokens.is_well_formed(token)
    assert len(token) == 53
    assert tokens.shown(token) == token[:8]
    assert len(tokens.digest(token)) == 32


def test_no_two_tokens_are_alike() -> None:
    """Tokens are random."""
    assert len({tokens.mint() for _ in range(1000)}) == 1000


def test_a_mistyped_token_is_refused_by_its_checksum() -> None:
    """Changing any one character of it shows."""
    token = tokens.mint()
    for index in range(len(token)):
        other = "x" if token[index] != "x" else "y"
        assert not tokens.is_well_formed(token[:index] + other + token[index + 1 :])


def test_nonsense_is_no_token() -> None:
    """Empty text, other prefixes, line breaks and other scripts' digits are refused."""
    token = tokens.mint()
    for text in ("", "slw_", token + "\n", token.upper(), "ghp_" + token[4:], token[:-1] + "٣"):
        assert not tokens.is_well_formed(text)
