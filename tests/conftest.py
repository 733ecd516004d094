"""Fixtures that every test may ask for."""

from tests.stack import nats_shared, nats_url, postgres_dsn, postgres_shared

__all__ = ["nats_shared", "nats_url", "postgres_dsn", "postgres_shared"]
