import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from embedded.images.filesystem import Tree


def _members(tree: Tree) -> dict[str, tarfile.TarInfo]:
    written = io.BytesIO()
    tree.write_layer(written)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(written.getvalue()))) as archive:
        return {member.name: member for member in archive}


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> tarfile.TarFile:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    packed.seek(0)
    return tarfile.open(fileobj=packed)


def test_equal_trees_make_equal_layers() -> None:
    """A layer's bytes depend on paths and contents, not on the order of adding or on the clock."""
    layers = []
    for order in (("/a", "/b/c"), ("/b/c", "/a")):
        tree = Tree()
        for path in order:
            tree.file(path, path)
        layers.append(tree.write_layer(io.BytesIO()))
    assert layers[0] == layers[1]


def test_digests_are_those_of_the_bytes() -> None:
    """The layer's digest is of the compressed bytes, its diff id of the plain ones."""
    tree, written = Tree(), io.BytesIO()
    tree.file("/a", "text")
    layer = tree.write_layer(written)
    assert layer.digest == f"sha256:{hashlib.sha256(written.getvalue()).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(written.getvalue())).hexdigest()}"
    assert layer.size == len(written.getvalue())


def test_folders_of_old_layout_lie_in_usr() -> None:
    """What a package has in /bin or /lib ends in /usr, where the links of the image lead to."""
    tree = Tree()
    tree.file("/bin/sh", "", 0o755)
    tree.file("/lib64/ld.so", "")
    members = _members(tree)
    assert members["usr/bin/sh"].mode == 0o755
    assert members["bin"].linkname == "usr/bin"
    assert "usr/lib64/ld.so" in members


def test_parents_come_before_children_with_their_owner() -> None:
    """Folders that were not named belong to root; those that were keep owner and mode."""
    tree = Tree()
    tree.directory("/var/lib/data", 0o700, 999)
    members = _members(tree)
    assert list(members).index("var/lib") < list(members).index("var/lib/data")
    assert (members["var/lib/data"].uid, members["var/lib/data"].mode) == (999, 0o700)
    assert members["var"].uid == 0


def test_extract_keeps_what_is_asked_for() -> None:
    """Only wanted paths of an archive are taken, and a hard link becomes the file that it names."""
    link = tarfile.TarInfo("./usr/bin/second")
    link.type, link.linkname = tarfile.LNKTYPE, "./usr/bin/first"
    archive = _archive(
        (tarfile.TarInfo("./usr/bin/first"), b"program"),
        (link, b""),
        (tarfile.TarInfo("./usr/bin/bitcode/first"), b"unwanted"),
        (tarfile.TarInfo("./usr/share/doc/first"), b"unwanted"),
    )
    tree = Tree()
    tree.extract(archive, keep=("/usr/bin/",), skip=("/bitcode/",))
    assert tree.paths() == ["/usr/bin/first", "/usr/bin/second"]
    assert tree.read("/usr/bin/second") == b"program"


def test_copy_takes_a_folder_with_its_links(tmp_path: Path) -> None:
    """A folder is copied with its links as links and without what is to be skipped."""
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "left.a").write_text("y")
    tree = Tree()
    tree.copy(tmp_path, "/opt", skip=("*.a",))
    assert tree.paths() == ["/opt/link", "/opt/real"]
    assert _members(tree)["opt/link"].linkname == "real"
