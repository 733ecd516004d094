"""An image as a file that `docker load` reads, for what must run before there is a registry."""

import io
import json
import tarfile
from typing import IO

from embedded.images.image import Image


def write_archive(image: Image, name: str, target: IO[bytes]) -> None:
    """Write a docker-archive that loads as `name` (repository:tag)."""
    config, layer = image.blobs()
    index = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar.gz"]}]
    with tarfile.open(fileobj=target, mode="w|") as archive:
        for path, content in (
            ("config.json", image.blob(config).read_bytes()),
            ("manifest.json", json.dumps(index).encode()),
        ):
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        archive.add(image.blob(layer), "layer.tar.gz")
