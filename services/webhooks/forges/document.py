"""A JSON document from outside, read by path: what has another type than asked is as if it were not there."""

import json
from collections.abc import Iterator

from services.webhooks.forges.port import Unreadable


class Document:
    """One object of a payload."""

    def __init__(self, content: dict[str, object]) -> None:
        self._content = content

    @classmethod
    def parse(cls, body: bytes) -> "Document":
        """Reads a body; raises `Unreadable` where it is no JSON object."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"the body is not JSON: {str(error)[:200] or type(error).__name__}") from None
        if not isinstance(content, dict):
            raise Unreadable(f"the body is JSON, but not an object: {type(content).__name__}")
        return cls(content)

    def text(self, *path: str) -> str:
        """A string, or a whole number as one; empty where there is none."""
        found = self._find(path)
        if isinstance(found, bool):
            return ""
        return str(found) if isinstance(found, (str, int)) else ""

    def flag(self, *path: str) -> bool:
        """Whether it is `true`."""
        return self._find(path) is True

    def objects(self, *path: str) -> Iterator["Document"]:
        """The objects of a list."""
        found = self._find(path)
        for item in found if isinstance(found, list) else ():
            if isinstance(item, dict):
                yield Document(item)

    def _find(self, path: tuple[str, ...]) -> object:
        found: object = self._content
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found
