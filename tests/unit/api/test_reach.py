"""Which addresses a forge cannot call."""

import pytest

from services.api.forges.reach import unreachable


@pytest.mark.parametrize(
    ("url", "forge", "reachable"),
    [
        ("http://127.0.0.1:8080/hooks/a", "github.com", False),
        ("http://localhost:8080/hooks/a", "gitlab.acme.example", False),
        ("http://0.0.0.0:8080/hooks/a", "github.com", False),
        ("http://[::1]:8080/hooks/a", "github.com", False),
        ("http://slipway.localhost/hooks/a", "github.com", False),
        ("http://10.0.0.7/hooks/a", "gitlab.com", False),
        ("http://10.0.0.7/hooks/a", "gitlab.acme.example", True),
        ("http://127.0.0.1:8080/hooks/a", "127.0.0.1", True),
        ("http://127.0.0.1:8080/hooks/a", "localhost", True),
        ("https://slipway.acme.example/hooks/a", "github.com", True),
        ("https://203.0.114.7/hooks/a", "bitbucket.org", True),
    ],
)
def test_a_forge_elsewhere_reaches_no_loopback_and_a_public_one_nothing_private(url: str, forge: str, reachable: bool) -> None:
    """A name may lead anywhere: it is tried."""
    assert (unreachable(url, forge) == "") == reachable
