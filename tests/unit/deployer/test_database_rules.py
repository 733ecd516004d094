"""What may become of a database."""

import pytest

from services.deployer.targets.local.database_rules import major_of, refuse_no_way_back
from shared.contracts.releases import DatabaseSpec
from shared.work import StepFailure

GIB = 1024**3
NOW = DatabaseSpec(name="main", engine="postgresql", version="18", storage_bytes=2 * GIB, memory_bytes=GIB)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"storage_bytes": GIB}, "database_shrunk"),
        ({"version": "19"}, "database_major_changed"),
        ({"version": "17.2"}, "database_major_changed"),
        ({"engine": "mysql"}, "database_engine_changed"),
    ],
)
def test_refused(change: dict[str, object], code: str) -> None:
    """What has no way back is refused, by its name."""
    with pytest.raises(StepFailure) as failed:
        refuse_no_way_back(NOW, NOW.model_copy(update=change))
    assert failed.value.failure.code == code
    assert "main" in failed.value.failure.message


@pytest.mark.parametrize("change", [{}, {"storage_bytes": 3 * GIB}, {"memory_bytes": GIB // 2}, {"version": "18.1"}])
def test_allowed(change: dict[str, object]) -> None:
    """More storage, more or less memory and another minor version have a way back."""
    refuse_no_way_back(NOW, NOW.model_copy(update=change))


def test_major() -> None:
    """The first number."""
    assert major_of("18.1") == "18"
