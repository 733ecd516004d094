"""How a container finds its databases: by their name on the environment's network."""

from collections.abc import Mapping
from urllib.parse import quote

from services.deployer.targets.local.networks import Networks
from services.deployer.targets.local.records import Records
from services.deployer.targets.local.secrets import TargetKey
from shared.contracts.places import Place
from shared.contracts.releases import DatabaseLink

PORT = 5432


def user_of(database: str) -> str:
    """Both the owner's role and the name of the one database in the server."""
    return database.replace("-", "_")


def url(key: TargetKey, place: Place, database: str, host: str | None = None) -> str:
    """`postgresql://…`, by name, or by address from the host."""
    user = quote(user_of(database))
    return f"postgresql://{user}:{key.password(place, database)}@{host or database}:{PORT}/{user}"


def variables(key: TargetKey, place: Place, links: tuple[DatabaseLink, ...]) -> dict[str, str]:
    """Each link's variable and address."""
    return {link.variable: url(key, place, link.database) for link in links}


async def hosts(networks: Networks, records: Records, place: Place, links: tuple[DatabaseLink, ...]) -> Mapping[str, str]:
    """Each database's name and fixed address, for the container's own /etc/hosts: on the network the engine's process answers for
    names, and while it is down applications must go on."""
    found = {link.database: records.database(place, link.database) for link in links}
    addresses = {name: await networks.address(place, record.container) for name, record in found.items() if record is not None}
    return {name: address for name, address in addresses.items() if address}
