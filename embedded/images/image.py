"""An OCI image as it lies in the cache: one layer, a configuration, a manifest.

Formats: the OCI image specification 1.0 (https://github.com/opencontainers/image-spec).
"""

import hashlib
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path

from embedded.images.filesystem import Layer, Tree

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Settings:
    """What a container of the image does by default; the names are those of the OCI configuration."""

    env: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Image:
    """A finished image in `folder`; `digest` is that of its manifest."""

    name: str
    version: str
    folder: Path
    digest: str

    @property
    def tag(self) -> str:
        """The content-addressed tag: the same tag is always the same bytes."""
        return f"{self.version}-{self.digest.removeprefix('sha256:')[:12]}"

    @property
    def manifest(self) -> bytes:
        """The manifest's bytes, whose SHA-256 is the digest."""
        return (self.folder / "manifest.json").read_bytes()

    def blob(self, digest: str) -> Path:
        """The file of the layer or the configuration with this digest."""
        return self.folder / "blobs" / digest.removeprefix("sha256:")

    def blobs(self) -> list[str]:
        """The digests of all that the manifest names."""
        manifest = json.loads(self.manifest)
        return [
            manifest["config"]["digest"],
            *(layer["digest"] for layer in manifest["layers"]),
        ]


def architecture() -> str:
    """This machine's architecture in the words of OCI."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def write(folder: Path, tree: Tree, settings: Settings) -> str:
    """Write layer, configuration and manifest below `folder`, and return the manifest's digest."""
    blobs = folder / "blobs"
    blobs.mkdir(parents=True)
    with (blobs / "layer").open("wb") as target:
        layer = tree.write_layer(target)
    (blobs / "layer").rename(blobs / layer.digest.removeprefix("sha256:"))
    config = json.dumps(_configuration(settings, layer), sort_keys=True).encode()
    (blobs / hashlib.sha256(config).hexdigest()).write_bytes(config)
    manifest = json.dumps(_manifest(config, layer), sort_keys=True).encode()
    (folder / "manifest.json").write_bytes(manifest)
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def _configuration(settings: Settings, layer: Layer) -> dict[str, object]:
    container: dict[str, object] = {
        "Env": [f"{name}={value}" for name, value in settings.env.items()],
        "Entrypoint": list(settings.entrypoint) or None,
        "Cmd": list(settings.command) or None,
        "User": settings.user,
        "WorkingDir": settings.working_dir,
        "StopSignal": settings.stop_signal,
        "Volumes": {path: {} for path in settings.volumes},
        "ExposedPorts": {f"{port}/tcp": {} for port in settings.ports},
    }
    return {
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {key: value for key, value in container.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [
            {
                "created": "1970-01-01T00:00:00Z",
                "created_by": "slipway: assembled from packages",
            }
        ],
    }


def _manifest(config: bytes, layer: Layer) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": _CONFIG_TYPE,
            "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
            "size": len(config),
        },
        "layers": [{"mediaType": _LAYER_TYPE, "digest": layer.digest, "size": layer.size}],
    }
