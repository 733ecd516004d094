"""Lists in pages by key (keyset): `?after=<key of the last item>&limit=` → `{"items": […], "next": …}`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

T = TypeVar("T")

LIMIT = 50
MOST = 500


class Page(BaseModel, Generic[T]):
    """Some items in order, and where the next page starts; `next` is null on the last page."""

    items: list[T]
    next: str | None = None

    @classmethod
    def of(cls, rows: Sequence[T], window: "Window", key: Callable[[T], object]) -> "Page[T]":
        """A page of rows that were asked for with `window.fetch`: one more than shown, to know whether there is a next page."""
        shown = list(rows[: window.limit])
        more = len(rows) > window.limit
        return cls(items=shown, next=str(key(shown[-1])) if more else None)


class Window(BaseModel):
    """Which part of a list is asked for."""

    after: str = ""
    limit: int = LIMIT

    @property
    def fetch(self) -> int:
        """How many rows to read."""
        return self.limit + 1

    @property
    def position(self) -> int:
        """`after` where the key is a number; anything else is the start."""
        return int(self.after) if self.after.isdecimal() else 0


def _window(
    after: Annotated[str, Query(max_length=200, description="`next` of the former page")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = LIMIT,
) -> Window:
    return Window(after=after, limit=limit)


Paged = Annotated[Window, Depends(_window)]
