"""A dead container may have no name: it goes by its id."""

from typing import Any

import pytest

from embedded import engine, removal, status


@pytest.fixture(params=[[], None])
def _dead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an engine has."""
    dead = {"Id": "c0ffee", "Names": request.param, "Labels": {}, "State": "dead", "Status": "Dead", "Image": "x"}

    def ask(_host: str, path: str) -> Any:
        return [dead] if path.startswith("/containers/") else []

    monkeypatch.setattr(engine, "ask", ask)
    monkeypatch.setattr(engine, "order", lambda *_: None)


@pytest.mark.usefixtures("_dead")
def test_a_container_without_a_name_is_removed() -> None:
    """With all others."""
    assert removal.remove_instance("unix:///x", "slw-1", volumes=False).containers == ("c0ffee",)


@pytest.mark.usefixtures("_dead")
def test_a_container_without_a_name_is_shown() -> None:
    """Nothing else is kept from being shown by it."""
    assert [container.name for container in status._containers("unix:///x", "slw-1")] == ["c0ffee"]
