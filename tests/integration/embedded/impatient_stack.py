"""A supervisor of one small service that kills what hangs for two seconds."""

from embedded import children
from embedded.daemon import Stack, main
from embedded.services import Service

if __name__ == "__main__":
    children._SILENT = 2.0
    main(stack=Stack(services=(Service("builder", "tests.integration.embedded.tiny_service"),), bootstrap=None, data_plane=False))
