"""What only the target knows: values sealed to its key, and what is derived from it."""

import hashlib
import hmac
from pathlib import Path

from shared.contracts.places import Place
from shared.contracts.releases import Sealed
from shared.sealing import Unopenable, unseal
from shared.work import StepFailure


class TargetKey:
    """The target's private key (`$SLIPWAY_HOME/keys/target.key`, 32 raw bytes)."""

    def __init__(self, path: Path) -> None:
        self._key = path.read_bytes()

    def open(self, sealed: Sealed) -> dict[str, str]:
        """Variable name → value. Raises `StepFailure` for what was sealed to another key."""
        opened = {}
        for name, value in sealed.values.items():
            try:
                opened[name] = unseal(self._key, value).decode()
            except Unopenable as error:
                raise StepFailure(
                    "secret_unreadable",
                    f"the secret {name} cannot be opened on this target: set it again, or deploy again",
                    details=str(error),
                ) from error
        return opened

    def password(self, place: Place, database: str) -> str:
        """A database's password: the same each time it is asked for, and never stored."""
        return self._derive("database-password", f"{place}/{database}")

    def private_route(self, place: Place, service: str, deployment: str) -> str:
        """The header's value that leads to a deployment's candidate."""
        return self._derive("private-route", f"{place}/{service}/{deployment}")

    def _derive(self, purpose: str, of: str) -> str:
        return hmac.new(self._key, f"slipway/{purpose}/{of}".encode(), hashlib.sha256).hexdigest()[:40]
