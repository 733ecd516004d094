"""The same engine, registry and base image as the component tests have."""

from tests.component.builder.conftest import base, builder, engine, registry, repository

__all__ = ["base", "builder", "engine", "registry", "repository"]
