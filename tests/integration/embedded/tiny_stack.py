"""A supervisor of small services, for the tests of the supervisor itself."""

from embedded.daemon import Stack, main
from embedded.services import Service

MODULE = "tests.integration.embedded.tiny_service"

if __name__ == "__main__":
    main(
        stack=Stack(
            services=(
                Service("auth", MODULE, stateful=True),
                Service("builder", MODULE),
            ),
            bootstrap=None,
        )
    )
