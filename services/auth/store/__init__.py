"""All SQL of auth: one module a table. What writes takes the connection of its caller's transaction."""

from typing import TypeAlias

from shared.postgres import Connection, Pool

Reader: TypeAlias = "Connection | Pool"
"""Where one statement reads: in a transaction, or on any connection."""

__all__ = ["Connection", "Pool", "Reader"]
