"""Settings that the preparation of a start found out, handed to the services that start after it."""

import json
from pathlib import Path


def keep(file: Path, settings: dict[str, str]) -> None:
    """Write settings (environment variables) where `kept` finds them."""
    file.write_text(json.dumps(settings))


def kept(file: Path) -> dict[str, str]:
    """The settings that were kept last, or none."""
    if not file.exists():
        return {}
    return {str(name): str(value) for name, value in json.loads(file.read_text()).items()}
