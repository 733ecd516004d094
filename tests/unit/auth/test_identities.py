"""Which person an account on a forge is."""

from services.auth.identities import Identity, owner_of

ADA = Identity("ada", "github", "Octocat", "1")
BOB = Identity("bob", "github", "bob", "")


def test_logins_are_compared_without_case() -> None:
    """Forges do not tell upper from lower case, nor two spellings of one letter."""
    assert owner_of([ADA, BOB], "BOB", "") == BOB
    assert owner_of([Identity("z", "gitea", "Zo\u0065\u0308")], "ZO\u00cb", "") is not None


def test_the_account_id_is_stronger_than_the_login() -> None:
    """An account that was renamed is still the same person; one that took the old login is not."""
    assert owner_of([ADA, BOB], "renamed", "1") == ADA
    assert owner_of([ADA, BOB], "octocat", "2") is None
    assert owner_of([ADA, BOB], "bob", "1") == ADA


def test_a_login_is_enough_where_one_side_does_not_know_the_id() -> None:
    """Linked by login alone, or delivered without an id, the login decides."""
    assert owner_of([BOB], "bob", "77") == BOB
    assert owner_of([ADA], "octocat", "") == ADA


def test_nobody_is_found_by_nothing() -> None:
    """An empty login or id matches no empty login or id."""
    assert owner_of([Identity("x", "github", "", "5"), BOB], "", "") is None
