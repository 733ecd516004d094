"""Reads what openapi-typescript made of an OpenAPI description back into one, as far as types tell it: formats and lengths are lost."""

import json
import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|[A-Za-z_$][\w$]*|-?\d+(?:\.\d+)?|[{}()\[\]<>:;?&|,=]', re.DOTALL)
_PRIMITIVES: dict[str, Schema] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "unknown": {},
    "Record": {"type": "object"},
    "true": {"enum": [True]},
    "false": {"enum": [False]},
}
_METHODS = ("get", "put", "post", "delete", "patch")


def described(text: str) -> Schema:
    """The OpenAPI description that these declarations were made of."""
    found = {name: _Reader(_tokens(body)).type() for name, body in _interfaces(text)}
    operations = found["operations"]["properties"] if "operations" in found else {}
    return {
        "paths": {path: _path(item["properties"], operations) for path, item in found["paths"]["properties"].items()},
        "components": {"schemas": found["components"]["properties"]["schemas"]["properties"]},
    }


def _interfaces(text: str) -> list[tuple[str, str]]:
    wanted = re.compile(r"^export interface (paths|components|operations) (\{.*?^\})", re.DOTALL | re.MULTILINE)
    return [(match[1], match[2]) for match in wanted.finditer(text)]


def _tokens(text: str) -> list[str]:
    return [token for token in _TOKEN.findall(text) if not token.startswith("/*")]


def _path(item: Schema, operations: Schema) -> Schema:
    found = {method: item[method] for method in _METHODS if item.get(method)}
    return {
        method: _operation((operations[one["$ref"].rpartition("/")[2]] if "$ref" in one else one)["properties"])
        for method, one in found.items()
    }


def _operation(parts: Schema) -> Schema:
    query = (parts["parameters"]["properties"].get("query") or {}).get("properties", {})
    responses = {status: _content(one) for status, one in parts["responses"]["properties"].items()}
    return {
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()],
        "requestBody": _content(parts.get("requestBody")),
        "responses": responses,
    }


def _content(part: Schema | None) -> Schema:
    held = ((part or {}).get("properties", {}).get("content") or {}).get("properties", {})
    return {"content": {kind: {"schema": schema} for kind, schema in held.items()}}


class _Reader:
    """Reads one type; `never` is None."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def type(self) -> Any:
        """A union."""
        self._took("|")
        found = self._several(self._intersection, "|")
        if len(found) == 1:
            return found[0]
        if all(set(each) == {"enum"} for each in found):
            return {"enum": [value for each in found for value in each["enum"]]}
        return {"anyOf": found}

    def _intersection(self) -> Any:
        found = self._several(self._array, "&")
        return found[0] if len(found) == 1 else {"allOf": found}

    def _several(self, read: Callable[[], Any], between: str) -> list[Any]:
        found = [read()]
        while self._took(between):
            found.append(read())
        return found

    def _array(self) -> Any:
        self._took("readonly")
        found = self._single()
        while self._took("["):
            self._want("]")
            found = {"type": "array", "items": found}
        return found

    def _single(self) -> Any:
        token = self._next()
        if token == "(":
            found = self.type()
            self._want(")")
            return found
        if token == "{":
            return self._object()
        if token[0] == '"' or token[0].isdigit() or token[0] == "-":
            return {"enum": [json.loads(token)]}
        return self._named(token)

    def _named(self, name: str) -> Any:
        if name == "never":
            return None
        if name in ("components", "operations"):
            return {"$ref": "#/" + "/".join((name, *self._keys()))}
        arguments = self._arguments()
        if name == "Omit":
            kept, left_out = arguments
            return {"allOf": [kept], "omit": left_out["enum"]}
        return arguments[0] if name == "Readonly" else _PRIMITIVES[name]

    def _keys(self) -> list[str]:
        found = []
        while self._tokens[self._at] == "[" and self._tokens[self._at + 1] != "]":
            self._want("[")
            found.append(json.loads(self._next()))
            self._want("]")
        return found

    def _arguments(self) -> list[Any]:
        if not self._took("<"):
            return []
        found = self._several(self.type, ",")
        self._want(">")
        return found

    def _object(self) -> Schema:
        properties: Schema = {}
        required: list[str] = []
        while not self._took("}"):
            self._took("readonly")
            name = self._name()
            optional = self._took("?")
            self._want(":")
            read = self.type()
            self._want(";")
            if name is not None:
                properties[name] = read
                required += [] if optional else [name]
        return {"type": "object", "properties": properties, "required": required}

    def _name(self) -> str | None:
        """None for all other names: `[name: string]`."""
        token = self._next()
        if token != "[":
            return str(json.loads(token)) if token[0] == '"' else token
        while self._next() != "]":
            pass
        return None

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, token: str) -> bool:
        there = self._tokens[self._at] == token if self._at < len(self._tokens) else False
        self._at += there
        return there

    def _want(self, token: str) -> None:
        found = self._next()
        assert found == token, f"{found} where {token} belongs: {' '.join(self._tokens[self._at - 20 : self._at])}"
