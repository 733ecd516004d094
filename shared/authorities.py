"""Which certificate authorities are believed when the platform calls somebody.

An `httpx` client that is told nothing reads Mozilla's list, for 0.05 to 0.1 s in which its process does nothing else,
also where it only ever speaks plain HTTP. So every client says whom it believes.
"""

import ssl
from functools import cache

import certifi


@cache
def trusted() -> ssl.SSLContext:
    """The system's store (a company's own authority may be in it) and Mozilla's list.

    One for the whole process; the supervisor makes it before it forks the services.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def nobody() -> ssl.SSLContext:
    """For plain HTTP on this machine: over TLS it would believe no one."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
