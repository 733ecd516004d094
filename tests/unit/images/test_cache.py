"""Which images the cache keeps."""

import os
import time
from pathlib import Path

import pytest

from embedded.images import cache as cached
from embedded.images.cache import KEPT_S, Cache
from embedded.images.catalogue import RECIPES, Choice, Recipe
from embedded.images.filesystem import Tree
from embedded.images.image import Settings


def _bare(_version: str, _work: Path) -> tuple[Tree, Settings]:
    return Tree(), Settings()


def test_what_another_version_uses_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions of Slipway that run on one machine do not take each other's images away; what nobody has used for a day goes."""
    monkeypatch.setitem(RECIPES, "bare", Recipe(("1",), _bare))
    images, choice = Cache(tmp_path), Choice("bare", "1")
    places = []
    for key in ("first", "second", "third"):
        monkeypatch.setattr(cached, "_key", lambda _, key=key: key)
        places.append(images.get(choice).folder)
        assert all(place.exists() for place in places[-2:])
        if key == "second":
            os.utime(places[0], (time.time() - KEPT_S - 1,) * 2)
    assert [place.exists() for place in places] == [False, True, True]
