"""Which addresses may be called."""

import pytest

from shared.public_addresses import is_public


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2001:4860:4860::8888"])
def test_public_addresses_may_be_called(address: str) -> None:
    """Hosts of the internet are what webhooks are for."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1", "2001:db8::1", "", "localhost", "0x7f000001", "2130706433",
    ],
)  # fmt: skip
def test_what_leads_inside_may_not(address: str) -> None:
    """Private, loopback, link-local, shared, test, multicast and reserved ones, in each disguise, and nonsense."""
    assert not is_public(address)
