"""A deployer that starts after one that died."""

from pathlib import Path

from services.deployer.settings import Settings
from services.deployer.targets.local.target import local_target


async def test_what_was_being_written_is_removed(tmp_path: Path) -> None:
    """In the records' folders and in that of the certificates, where it may be a private key."""
    settings = Settings(home=tmp_path, instance="i")
    settings.key_file.parent.mkdir()
    settings.key_file.write_bytes(bytes(32))
    gone = ".web.json.999999999.0a1b2c3d.tmp"
    left = [settings.target_folder / "services" / gone, settings.certificate_folder / gone]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_text("half")
    async with local_target(settings):
        assert not any(path.exists() for path in left)
