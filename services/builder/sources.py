"""From a command's source to a remote: the address checked, the credential opened and redacted."""

from dataclasses import dataclass
from pathlib import Path

from services.builder.clone_address import CloneAddress, UnusableAddress
from services.builder.git import Credential
from services.builder.mirrors import Remote
from shared.contracts.commands import Source
from shared.contracts.releases import Sealed
from shared.sealing import Unopenable, Vault, unseal
from shared.work import StepFailure, Unavailable, Work


@dataclass(frozen=True)
class TargetKey:
    """The private key that never leaves the target. Read when it is needed: it may be made after this process."""

    path: Path

    def open(self, values: Sealed, work: Work) -> dict[str, str]:
        """The values by name; none of them shows in the log or the answer from here on. Raises `StepFailure`."""
        opened: dict[str, str] = {}
        for name, sealed in values.values.items():
            try:
                opened[name] = unseal(self.path.read_bytes(), sealed).decode()
            except (Unopenable, OSError, UnicodeDecodeError) as error:
                message = f"{name} cannot be opened on this target: was it sealed to the key of another one?"
                raise StepFailure("secret_unreadable", message, details=f"{self.path}: {error}") from None
        work.redact(opened)
        return opened

    def tag(self, text: str) -> str:
        """32 hex digits for a text, which nobody without the key can tell. Raises `Unavailable`."""
        try:
            return Vault.from_file(self.path).tag(text)
        except OSError as error:
            raise Unavailable(f"the target's key cannot be read: {error}") from error


@dataclass(frozen=True)
class Sources:
    """Makes remotes."""

    key: TargetKey
    protocols: tuple[str, ...]

    def remote(self, organization: str, source: Source, work: Work) -> Remote:
        """The remote of a source, as this organization's connection sees it."""
        try:
            address = CloneAddress.of(source.clone_url, self.protocols)
        except UnusableAddress as error:
            raise StepFailure("clone_address_invalid", f"{source.repository}: {error}") from None
        credential = None
        if source.password is not None:
            values = self.key.open(Sealed(values={"the clone credential": source.password}), work)
            credential = Credential(source.username, values["the clone credential"], source.known_hosts or "")
        return Remote(f"{organization}/{source.connection}", source.repository, address, credential, own=source.is_own)
