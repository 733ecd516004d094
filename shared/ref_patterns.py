"""Patterns of refs: what an environment follows. Pure."""


def matches(pattern: str, ref: str) -> bool:
    """Whether the pattern matches the full name of the ref; `*` matches any part of it, slashes too.

    In time that grows with both lengths alone: a regular expression with five stars takes seconds for some names, and both are a tenant's.
    """
    first, *others = pattern.split("*")
    if not others:
        return pattern == ref
    *middle, last = others
    at, end = len(first), len(ref) - len(last)
    if at > end or not (ref.startswith(first) and ref.endswith(last)):
        return False
    for part in middle:  # each as early as it can stand, which leaves the most for those after it
        at = ref.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
