"""An OpenAPI schema (2 or 3.0) as a JSON Schema that stands alone: references filled in, and closed to fields that it does not name."""

from typing import Any

from tests.forge_apis.typescript import Schema

_KEPT = ("type", "enum", "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "pattern")
_DEEPEST = 4
"""Nobody writes or reads further."""
_ANYTHING: Schema = {}


def referred(document: Schema, part: Schema) -> Schema:
    """What a part of a document stands for, where it is a reference: itself otherwise."""
    found: Any = document if "$ref" in part else part
    for name in part.get("$ref", "").split("/")[1:]:
        found = found[name]
    return dict(found)


class Plain:
    """Schemas of one document. `asked`: of what is sent to a forge, where what is required has to be there, and not of its answers."""

    def __init__(self, document: Schema, *, asked: bool) -> None:
        self._document = document
        self._asked = asked

    def of(self, schema: Schema | None, above: tuple[str, ...] = (), depth: int = 0) -> Schema:
        """A schema that contains itself is open there, and so is one that is deep down in an answer."""
        if not schema or depth > _DEEPEST:
            return _ANYTHING
        if "$ref" in schema:
            return _ANYTHING if schema["$ref"] in above else self.of(referred(self._document, schema), (*above, schema["$ref"]), depth)
        alternatives = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        if alternatives := [each for each in alternatives if set(each) != {"required"}]:
            return self._nullable(schema, {"anyOf": [self.of(each, above, depth) for each in alternatives]})
        flat = self._merged(schema, above)
        found = {name: flat[name] for name in _KEPT if name in flat}
        if flat.get("properties"):
            found["properties"] = {name: self.of(each, above, depth + 1) for name, each in sorted(flat["properties"].items())}
            found["additionalProperties"] = False
        if self._asked and flat.get("required"):
            found["required"] = sorted(flat["required"])
        if "items" in flat:
            found["items"] = self.of(flat["items"], above, depth)
        return self._nullable(flat, found)

    def _merged(self, schema: Schema, above: tuple[str, ...]) -> Schema:
        """What all parts of an `allOf` say; `omit` names what the parts say of nothing."""
        found: Schema = {**schema, "properties": dict(schema.get("properties", {})), "required": list(schema.get("required", ()))}
        for part in schema.get("allOf", ()):
            if part.get("$ref") in above:
                continue
            whole = self._merged(referred(self._document, part), above)
            found = {
                **whole,
                **found,
                "properties": whole["properties"] | found["properties"],
                "required": whole["required"] + found["required"],
            }
        for name in schema.get("omit", ()):
            found["properties"].pop(name, None)
            found["required"] = [each for each in found["required"] if each != name]
        return found

    def _nullable(self, schema: Schema, found: Schema) -> Schema:
        if not schema.get("nullable"):
            return found
        return {"anyOf": [found, {"type": "null"}]}
