"""A supervisor of one small service, without containers: for tests of what lies below them."""

from embedded.daemon import Stack, main
from embedded.services import Service

if __name__ == "__main__":
    main(stack=Stack(services=(Service("builder", "tests.integration.embedded.tiny_service"),), bootstrap=None, data_plane=False))
