import hashlib
import json
from pathlib import Path

from embedded.images.filesystem import Tree
from embedded.images.image import Image, Settings, write
from embedded.images.registry import reference


def _image(folder: Path, content: str) -> Image:
    tree = Tree()
    tree.file("/content", content)
    return Image("thing", "1", folder, write(folder, tree, Settings(command=("run",), volumes=("/data",))))


def test_the_tag_follows_the_content(tmp_path: Path) -> None:
    """Equal contents have equal tags, others do not."""
    first, same, other = (_image(tmp_path / name, text) for name, text in (("a", "x"), ("b", "x"), ("c", "y")))
    assert first.tag == same.tag != other.tag
    assert reference(first, "127.0.0.1:5000") == f"127.0.0.1:5000/slipway/thing:1-{first.digest[7:19]}"


def test_the_manifest_names_blobs_that_are_there(tmp_path: Path) -> None:
    """Configuration and layer lie under their digests, with the sizes that the manifest says."""
    image = _image(tmp_path / "image", "x")
    manifest = json.loads(image.manifest)
    for entry in (manifest["config"], *manifest["layers"]):
        content = image.blob(entry["digest"]).read_bytes()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == entry["digest"]
        assert len(content) == entry["size"]
    assert image.digest == f"sha256:{hashlib.sha256(image.manifest).hexdigest()}"


def test_the_configuration_leaves_out_what_is_not_set(tmp_path: Path) -> None:
    """Only settings that were given are written, in the words of the OCI specification."""
    image = _image(tmp_path / "image", "x")
    config = json.loads(image.blob(image.blobs()[0]).read_bytes())
    assert config["config"] == {"Cmd": ["run"], "Volumes": {"/data": {}}}
    assert config["os"] == "linux"
