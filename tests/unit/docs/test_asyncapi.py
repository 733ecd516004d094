"""The published description of the bus."""

from docs import generate


def test_the_asyncapi_document_is_current() -> None:
    """It is what `make docs` would write now."""
    assert generate.TARGET.read_text() == generate.document(), "run `make docs`"
