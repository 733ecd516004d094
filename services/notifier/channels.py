"""A channel with what is needed to send through it."""

from dataclasses import dataclass, field

from pydantic import BaseModel

from shared.sealing import Vault


@dataclass(frozen=True)
class Channel:
    """Whom to tell, and how. `url` may hold credentials (chat)."""

    organization: str
    name: str
    project: str
    kind: str
    forge: str
    api_url: str
    repository: str
    events: tuple[str, ...]
    version: int
    url: str = field(repr=False)
    secret: str = field(repr=False)
    former_secret: str = field(default="", repr=False)
    """Of a webhook during a rotation: it signs, too."""
    format: str = "events"
    """What a webhook is told in: events, cdevents."""


class _Secrets(BaseModel):
    url: str
    secret: str
    former_secret: str = ""


def seal(vault: Vault, channel: Channel) -> bytes:
    """Address and secrets, as they are stored."""
    secrets = _Secrets(url=channel.url, secret=channel.secret, former_secret=channel.former_secret)
    return vault.encrypt(secrets.model_dump_json().encode(), _place(channel.organization, channel.name))


def unseal(vault: Vault, organization: str, name: str, sealed: bytes) -> dict[str, str]:
    """Address and secrets, by the names of their fields; raises `shared.sealing.Unopenable`."""
    return _Secrets.model_validate_json(vault.decrypt(sealed, _place(organization, name))).model_dump()


def _place(organization: str, name: str) -> str:
    return f"notifier/channel/{organization}/{name}"
