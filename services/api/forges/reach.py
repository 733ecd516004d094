"""Whether a forge can call an address, as far as the address tells. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from shared.forges import PUBLIC_HOSTS
from shared.public_addresses import is_public


def unreachable(url: str, forge_host: str) -> str:
    """Why the forge on that host cannot call this address; empty where it may be that it can."""
    host = (urlsplit(url).hostname or "").lower()
    if _is_loopback(host) and not _is_loopback(forge_host.lower()):
        return f"{host} is this machine itself, which {forge_host} cannot call"
    if forge_host.lower() in PUBLIC_HOSTS.values() and _is_address(host) and not is_public(host):
        return f"{host} is a private address, which {forge_host} cannot call"
    return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if not _is_address(host):
        return host == "localhost" or host.endswith(".localhost")
    address = ip_address(host)
    return address.is_loopback or address.is_unspecified
