import json
from pathlib import Path

from aiodocker import Docker

from embedded.images.handover import keep, kept
from embedded.images.substitutes import public_images_can_be_pulled, settings_for


async def test_images_stand_in_only_where_none_can_be_pulled(registry: str) -> None:
    """Without a public registry builder and deployer are told of ours, by content-addressed tags; with one, of nothing."""
    async with Docker() as docker:
        settings = await settings_for(docker, registry)
        if await public_images_can_be_pulled(docker):
            assert settings == {}
            return
    majors = json.loads(settings["SLIPWAY_POSTGRES_IMAGES"])
    assert set(majors) == {"18", "15"}
    assert majors["18"].startswith(f"{registry}/slipway/postgres:18-")
    assert json.loads(settings["SLIPWAY_BUILD_ARGS"])["NODE_IMAGE"].startswith(f"{registry}/slipway/node:22-")


def test_settings_are_handed_over(tmp_path: Path) -> None:
    """What was kept is found again, and nothing where nothing was."""
    assert kept(tmp_path / "substitutes.json") == {}
    keep(tmp_path / "substitutes.json", {"SLIPWAY_BUILD_ARGS": "{}"})
    assert kept(tmp_path / "substitutes.json") == {"SLIPWAY_BUILD_ARGS": "{}"}
