"""The forges whose deliveries Slipway reads.

To add one: a class that fits `port.Forge` in a file of its own, a line in `FORGES`, real payloads under
`tests/data/<forge>/`, and its name in the contract suite `tests/unit/webhooks/test_forges.py`.
"""

from collections.abc import Callable, Mapping

from services.webhooks.forges.github import GitHub
from services.webhooks.forges.port import Forge

FORGES: Mapping[str, Callable[[], Forge]] = {
    "github": GitHub,
}
"""Constructors by the forge's name in the catalogue."""
