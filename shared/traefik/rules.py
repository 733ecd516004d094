"""Routing rules, built so that no value can break out of its literal."""

import re

_FORBIDDEN_IN_A_RULE = re.compile(r"[`\x00-\x1f\x7f]|\{\{|\}\}")


def host(*names: str) -> str:
    """The rule that matches these host names (ASCII; an internationalised name as punycode)."""
    return " || ".join(f"Host({_quoted(name)})" for name in names)


def header(name: str, value: str) -> str:
    """The rule that matches a request header exactly."""
    return f"Header({_quoted(name)}, {_quoted(value)})"


def path_prefix(*prefixes: str) -> str:
    """The rule that matches the beginning of the path."""
    return " || ".join(f"PathPrefix({_quoted(prefix)})" for prefix in prefixes)


def all_of(*rules: str) -> str:
    """The rule that matches when all of the given ones do."""
    return " && ".join(f"({rule})" for rule in rules)


def _quoted(value: str) -> str:
    """Raises ValueError for what would end the literal, or be a template to Traefik."""
    if not value or _FORBIDDEN_IN_A_RULE.search(value):
        raise ValueError(f"not allowed in a routing rule: {value!r}")
    return f"`{value}`"
