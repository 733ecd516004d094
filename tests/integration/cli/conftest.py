"""A living platform's front door, and the command line at it."""

from tests.component.api.conftest import api

__all__ = ["api"]
