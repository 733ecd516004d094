"""What tells an environment's status from others on a commit of Bitbucket Cloud."""

from services.notifier.providers.forges.bitbucket import key_of


def test_a_key_is_the_context_or_stands_for_it() -> None:
    """No longer than Bitbucket takes, always the same, and another for another environment."""
    long = "slipway/a-project-with-a-long-name/an-environment"
    assert key_of("slipway/todo/production") == "slipway/todo/production"
    assert len(key_of(long)) == 40
    assert key_of(long) == key_of(long) != key_of(f"{long}s")
