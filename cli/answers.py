"""What the API answers."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A JSON object as the API answers it."""
