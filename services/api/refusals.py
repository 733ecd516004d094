"""The problems that several resources answer with."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from shared.problems import Problem


def not_found(kind: str, name: str) -> Problem:
    """There is no such thing (or none that the caller may see)."""
    return Problem(404, "not-found", f"There is no {kind} {name}.")


def taken(kind: str, name: str, hint: str = "") -> Problem:
    """A thing of that name is there already."""
    return Problem(409, "exists", " ".join(part for part in (f"The {kind} {name} exists already.", hint) if part))


def still_going(kind: str, name: str) -> Problem:
    """One of that name was deleted, and roles on it may still be there."""
    detail = f"The {kind} {name} was deleted a moment ago, and the roles on it are still being taken away. Try again in a few seconds."
    return Problem(409, "being-deleted", detail, headers={"Retry-After": "2"})


@contextmanager
def referring(problem: Problem) -> Iterator[None]:
    """Turns a broken reference into the problem that says which."""
    try:
        yield
    except (asyncpg.ForeignKeyViolationError, asyncpg.RestrictViolationError) as error:  # the latter since PostgreSQL 18
        raise problem from error
