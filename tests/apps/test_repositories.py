from pathlib import Path

import pytest
import yaml

from tests import apps
from tests.apps import Repository

VARIANTS = {
    "good": apps.good("base"),
    "crashing": apps.crashing("base"),
    "on_another_port": apps.on_another_port("base"),
    "never_healthy": apps.never_healthy("base"),
    "memory_hungry": apps.memory_hungry("base"),
    "slow_start": apps.slow_start("base"),
    "broken_build": apps.broken_build("base"),
    "greedy_build": apps.greedy_build("base"),
    "worker": apps.worker("base"),
    "monorepo": apps.monorepo("base"),
    "with_build_inputs": apps.with_build_inputs("base"),
    "with_database": apps.with_database("base"),
    "failing_migration": apps.failing_migration("base"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_a_manifest_with_services(variant: str) -> None:
    """Each manifest is YAML, names at least one service, and its jobs and builds name files that are there."""
    app = VARIANTS[variant]
    manifest = yaml.safe_load(app.files["slipway.yaml"])
    assert manifest["services"]
    for service in manifest["services"].values():
        context = service.get("build", {}).get("context", ".")
        assert str(Path(context) / "Dockerfile") in app.files
    for job in manifest.get("jobs", {}).values():
        assert job["command"][0].removeprefix("/app/") in {Path(name).name for name in app.files}


def test_a_commit_replaces_the_one_before(tmp_path: Path) -> None:
    """A commit holds exactly the application's files, and what is a script is executable."""
    repository = Repository.create(tmp_path / "app")
    first = repository.commit(apps.monorepo("base"))
    second = repository.commit(apps.good("base"), "Bessere Fassung 🚀")
    assert first != second
    assert repository.git("rev-parse", "main") == second
    files = repository.git("ls-tree", "-r", "--format=%(objectmode) %(path)", "main").splitlines()
    assert "100755 app/serve.sh" in files
    assert not any(line.endswith("site/Dockerfile") for line in files)
    assert repository.git("log", "-1", "--format=%s") == "Bessere Fassung 🚀"


def test_only_the_changed_service_of_a_monorepo_changes(tmp_path: Path) -> None:
    """A new version of one service leaves the tree of the other as it was."""
    repository = Repository.create(tmp_path / "app")
    repository.commit(apps.monorepo("base", api="1", site="1"))
    repository.commit(apps.monorepo("base", api="2", site="1"))
    changed = repository.git("diff", "--name-only", "HEAD~1", "HEAD").splitlines()
    assert changed == ["api/Dockerfile"]
