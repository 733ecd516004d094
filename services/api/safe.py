"""Values at rest: sealed under a key of their project (or organization), which the master key seals in turn."""

import os

from shared.postgres import Connection
from shared.sealing import Vault

_KEY = "SELECT sealed_key FROM data_keys WHERE scope = $1"
_NEW_KEY = """
INSERT INTO data_keys (scope, sealed_key) VALUES ($1, $2)
ON CONFLICT (scope) DO UPDATE SET scope = excluded.scope RETURNING sealed_key
"""


def project_scope(organization: str, project: str) -> str:
    """The scope of a project's key."""
    return f"project/{organization}/{project}"


def organization_scope(organization: str) -> str:
    """The scope of what belongs to no project."""
    return f"organization/{organization}"


class Safe:
    """Seals and opens values. A value belongs to one place (`belongs_to`) and opens nowhere else."""

    def __init__(self, master: Vault) -> None:
        self._master = master
        self._vaults: dict[bytes, Vault] = {}

    async def seal(self, connection: Connection, scope: str, belongs_to: str, value: str) -> bytes:
        """Seals a value; the scope's key is made where there is none."""
        sealed_key = await connection.fetchval(_KEY, scope)
        if sealed_key is None:
            fresh = self._master.encrypt(os.urandom(32), scope)
            sealed_key = await connection.fetchval(_NEW_KEY, scope, fresh)
        return self._vault(scope, sealed_key).encrypt(value.encode(), belongs_to)

    async def open(self, connection: Connection, scope: str, belongs_to: str, sealed: bytes) -> str:
        """Opens a value; raises `Unopenable` where the key, the place or the value is another."""
        sealed_key = await connection.fetchval(_KEY, scope)
        return self._vault(scope, sealed_key or b"").decrypt(sealed, belongs_to).decode()

    def seal_answer(self, belongs_to: str, value: bytes) -> bytes:
        """Seals an answer that may have to be given again."""
        return self._master.encrypt(value, belongs_to)

    def open_answer(self, belongs_to: str, sealed: bytes) -> bytes:
        """The answer, as it was given."""
        return self._master.decrypt(sealed, belongs_to)

    def _vault(self, scope: str, sealed_key: bytes) -> Vault:
        if sealed_key not in self._vaults:
            self._vaults[sealed_key] = Vault(self._master.decrypt(sealed_key, scope))
        return self._vaults[sealed_key]
