"""The image registry, as far as the builder asks it. OCI distribution specification 1.1."""

import re
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.builder.registry_login import RegistryLogin, login_of
from shared.authorities import nobody, trusted
from shared.work import StepFailure, Unavailable

_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_PARTS = 3
"""Of a service's repository: organization, project, service."""
_PAGE = 1000


class RegistryRefused(StepFailure):
    """The registry answered what the specification does not have for this; the message has its words."""

    def __init__(self, reason: str) -> None:
        message = f"The image registry refused: {reason}. Check SLIPWAY_REGISTRY, and the login to it (SLIPWAY_DOCKER_CONFIG)"
        super().__init__("registry_refused", message)


class Blob(BaseModel):
    """A descriptor."""

    model_config = ConfigDict(extra="ignore")

    digest: str = ""
    size: int = 0


class Manifest(BaseModel):
    """An image manifest, or an index of them."""

    model_config = ConfigDict(extra="ignore")

    media_type: str = Field(default="", alias="mediaType")
    config: Blob = Blob()
    layers: tuple[Blob, ...] = ()
    manifests: tuple[Blob, ...] = ()


class Config(BaseModel):
    """An image's configuration."""

    model_config = ConfigDict(extra="ignore")

    class Settings(BaseModel):
        """What containers of it start with."""

        labels: dict[str, str] | None = Field(default=None, alias="Labels")

    config: Settings = Settings()


class _Tags(BaseModel):
    tags: tuple[str, ...] | None = None


class _Catalogue(BaseModel):
    repositories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Stored:
    """An image in the registry."""

    digest: str
    manifest: Manifest
    body: bytes
    content_type: str

    @property
    def size_bytes(self) -> int:
        """Compressed, as it lies in the registry."""
        return self.manifest.config.size + sum(layer.size for layer in self.manifest.layers)


def tag_of(key: str) -> str:
    """A release key as a tag; raises `ValueError` for what cannot be one."""
    tag = key.replace(":", "-")
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{key!r} cannot be the tag of an image")
    return tag


@dataclass(frozen=True)
class ImageName:
    """`<registry>/<repository>[:tag][@digest]`, in parts. `repository` holds no registry."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def of(cls, name: str) -> "ImageName":
        """Reads a name as Docker does: no host means Docker Hub, no path means `library/`, no tag means `latest`."""
        rest, _, digest = name.partition("@")
        host, slash, path = rest.partition("/")
        if not slash or not (set(".:") & set(host) or host == "localhost"):
            host, path = "docker.io", rest if slash else f"library/{rest}"
        path, colon, tag = path.partition(":")
        return cls(host, path, tag if colon else (None if digest else "latest"), digest or None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


class Registry:
    """One registry. `address` is host:port with an optional path that all our repositories lie below."""

    def __init__(self, address: str, docker_config: Path | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.host, _, self.prefix = address.partition("/")
        local = self.host.partition(":")[0] in ("localhost", "127.0.0.1") or self.host.startswith("127.")
        self._client = httpx.AsyncClient(
            base_url=f"{'http' if local else 'https'}://{self.host}/v2/",
            timeout=httpx.Timeout(30, connect=5),
            trust_env=False,
            verify=nobody() if local else trusted(),
            headers={"Accept": ", ".join(_MANIFESTS)},
            auth=RegistryLogin(login_of(self.host, docker_config)),
            transport=transport,
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def ready(self) -> None:
        """Raises where the registry does not answer."""
        (await self._request("GET", "")).raise_for_status()

    def repository(self, organization: str, project: str, service: str) -> str:
        """The repository of a service's images."""
        return "/".join(part for part in (self.prefix, organization, project, service) if part)

    async def find(self, repository: str, reference: str) -> Stored | None:
        """An image by tag or digest; None where there is none."""
        answer = await self._request("GET", f"{repository}/manifests/{reference}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        _expect(answer, httpx.codes.OK)
        try:
            manifest = Manifest.model_validate_json(answer.content)
        except ValidationError as error:
            raise RegistryRefused(f"{repository}:{reference} is no manifest: {error}") from None
        digest = answer.headers["Docker-Content-Digest"]
        return Stored(digest, manifest, answer.content, answer.headers["Content-Type"])

    async def tag(self, repository: str, stored: Stored, tag: str) -> None:
        """Gives an image of this repository another tag."""
        answer = await self._request("PUT", f"{repository}/manifests/{tag}", stored.body, {"Content-Type": stored.content_type})
        _expect(answer, httpx.codes.CREATED)

    async def labels(self, repository: str, stored: Stored) -> dict[str, str]:
        """The labels in an image's configuration; an index has none."""
        if not stored.manifest.config.digest:
            return {}
        answer = await self._request("GET", f"{repository}/blobs/{stored.manifest.config.digest}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        _expect(answer, httpx.codes.OK)
        return Config.model_validate_json(answer.content).config.labels or {}

    async def delete(self, repository: str, digest: str) -> bool:
        """Deletes an image with all its tags; False where it was gone, or the registry does not allow deleting."""
        answer = await self._request("DELETE", f"{repository}/manifests/{digest}")
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            return False
        _expect(answer, httpx.codes.ACCEPTED)
        return True

    async def tags(self, repository: str) -> tuple[str, ...]:
        """Every tag of a repository."""
        answer = await self._request("GET", f"{repository}/tags/list")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ()
        _expect(answer, httpx.codes.OK)
        return _Tags.model_validate_json(answer.content).tags or ()

    async def repositories(self) -> list[str]:
        """Every service's repository, as `repository` names them. Base images (`slipway/node`) and what else lies there are none."""
        found: list[str] = []
        path = f"_catalog?n={_PAGE}"
        while path:
            answer = await self._request("GET", path)
            _expect(answer, httpx.codes.OK)
            found += _Catalogue.model_validate_json(answer.content).repositories or ()
            path = answer.links.get("next", {}).get("url", "").removeprefix("/v2/")
        below = f"{self.prefix}/" if self.prefix else ""
        return [name for name in found if name.startswith(below) and name.removeprefix(below).count("/") == _PARTS - 1]

    async def _request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, content=body, headers=headers)
        except httpx.TransportError as error:
            raise Unavailable(f"the registry {self.host} does not answer: {error or type(error).__name__}") from error
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(f"the registry {self.host} answers {answer.status_code}: {answer.text[:200]}")
        return answer


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise RegistryRefused(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
