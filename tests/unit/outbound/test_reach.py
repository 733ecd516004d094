"""Which hosts may be called, and what an admin may allow."""

import pytest
from pydantic import BaseModel, ValidationError

from shared.outbound import PrivateHosts, Reach, Refused, Unresolved
from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings with such a list."""

    private_forges: PrivateHosts = ()


class Given(BaseModel):
    """The same, given in Python."""

    hosts: PrivateHosts = ()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "::1", "fe80::1", "0x7f000001", "::ffff:10.0.0.1"]
)
async def test_what_leads_inside_is_refused_and_the_refusal_names_the_setting(host: str) -> None:
    """Loopback, private and link-local addresses, whatever they are called."""
    with pytest.raises(Refused, match=r"no public address. Set IT if it may be called"):
        await Reach("Set IT").addresses_of(host, 443)


async def test_public_addresses_need_no_leave() -> None:
    """They are what users name."""
    assert await Reach("Set IT").addresses_of("93.184.215.14", 443) == ("93.184.215.14",)


@pytest.mark.parametrize("private", ["localhost", "LocalHost.", "127.0.0.1", "127.0.0.0/8", "::1,127.0.0.1"])
async def test_an_admin_may_name_private_hosts(private: str) -> None:
    """By name, address or network; what is beside them stays refused."""
    reach = Reach("Set IT", Given.model_validate({"hosts": private}).hosts)
    assert "127.0.0.1" in await reach.addresses_of("localhost", 80)
    with pytest.raises(Refused):
        await reach.addresses_of("169.254.169.254", 80)


async def test_a_name_without_address_may_have_one_later() -> None:
    """That is no refusal."""
    with pytest.raises(Unresolved):
        await Reach("Set IT").addresses_of("nowhere.invalid", 80)


def test_the_list_is_read_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """No JSON is asked of an admin."""
    monkeypatch.setenv("SLIPWAY_PRIVATE_FORGES", "gitlab.lan, 10.1.0.0/16,fd00::/8")
    assert Settings().private_forges == ("gitlab.lan", "10.1.0.0/16", "fd00::/8")


@pytest.mark.parametrize("wrong", ["https://gitlab.lan", "gitlab.lan:443", "a b", "10.0.0.0/99"])
def test_nonsense_in_the_list_is_said(wrong: str) -> None:
    """A typing error does not silently allow nothing."""
    with pytest.raises(ValidationError, match="neither a host name nor an address"):
        Given.model_validate({"hosts": wrong})
