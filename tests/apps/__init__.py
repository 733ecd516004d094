"""Tiny deployable applications for tests: each is a set of files, committed to a git repository of its own.

    repository = Repository.create(tmp_path / "app")
    first = repository.commit(good(bases.shell, version="1"))
    second = repository.commit(crashing(bases.shell))

Their images add a few files to a base image and run no build step, so a build takes a few tenths of a second.
"""

from tests.apps.databases import failing_migration, with_database
from tests.apps.repository import App, Repository
from tests.apps.variants import (
    broken_build,
    crashing,
    good,
    greedy_build,
    memory_hungry,
    monorepo,
    never_healthy,
    on_another_port,
    slow_start,
    with_build_inputs,
    worker,
)

__all__ = [
    "App",
    "Repository",
    "broken_build",
    "crashing",
    "failing_migration",
    "good",
    "greedy_build",
    "memory_hungry",
    "monorepo",
    "never_healthy",
    "on_another_port",
    "slow_start",
    "with_build_inputs",
    "with_database",
    "worker",
]
