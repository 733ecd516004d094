"""What no schedule may show."""


class Violation(AssertionError):
    """A sentence of the design does not hold; the text says which."""


def hold(condition: object, sentence: str) -> None:
    """Raises `Violation` where the sentence does not hold."""
    if not condition:
        raise Violation(sentence)
