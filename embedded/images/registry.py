"""Pushes images to a registry.

Protocol: the OCI distribution specification 1.0 (https://github.com/opencontainers/distribution-spec).
"""

from collections.abc import Iterator
from pathlib import Path

import httpx

from embedded.images.image import MANIFEST_TYPE, Image
from shared.authorities import nobody

NAMESPACE = "slipway"
_CHUNK = 1 << 20


class RegistryRefusedError(Exception):
    """The registry answered something else than the specification's success; the message has its words."""


def reference(image: Image, registry: str) -> str:
    """What the image is called in the registry at `registry` (host:port), by its content-addressed tag."""
    return f"{registry}/{NAMESPACE}/{image.name}:{image.tag}"


def push(image: Image, registry: str) -> bool:
    """Make the image present in a registry (host:port, plain HTTP); False when it was there already.

    Idempotent: blobs that are there are not sent again, and the manifest comes last, so that a tag never
    names what is not complete.
    """
    repository = f"/v2/{NAMESPACE}/{image.name}"
    with httpx.Client(base_url=f"http://{registry}", timeout=60, trust_env=False, verify=nobody()) as client:
        manifest = f"{repository}/manifests/{image.tag}"
        if client.head(manifest, headers={"Accept": MANIFEST_TYPE}).status_code == httpx.codes.OK:
            return False
        for digest in image.blobs():
            if client.head(f"{repository}/blobs/{digest}").status_code != httpx.codes.OK:
                _upload(client, repository, digest, image.blob(digest))
        sent = client.put(manifest, content=image.manifest, headers={"Content-Type": MANIFEST_TYPE})
        _expect(sent, httpx.codes.CREATED)
    return True


def _upload(client: httpx.Client, repository: str, digest: str, blob: Path) -> None:
    started = client.post(f"{repository}/blobs/uploads/")
    _expect(started, httpx.codes.ACCEPTED)
    place = httpx.URL(started.headers["Location"])
    done = client.put(
        place.copy_merge_params({"digest": digest}),
        content=_chunks(blob),
        headers={
            "Content-Length": str(blob.stat().st_size),
            "Content-Type": "application/octet-stream",
        },
    )
    _expect(done, httpx.codes.CREATED)


def _chunks(blob: Path) -> Iterator[bytes]:
    with blob.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        request = answer.request
        raise RegistryRefusedError(f"{request.method} {request.url}: {answer.status_code} {answer.text[:500]}")
