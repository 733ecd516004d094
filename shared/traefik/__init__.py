"""Traefik's dynamic configuration as models, and the only way to put it into the file provider's folder.

One file that Traefik cannot parse freezes the changes of *all* files until it is mended, and an
unknown field or a Go template is enough for that. So nobody writes these files as text: models that
forbid unknown fields are rendered, checked, written beside, and renamed into place.
"""

from shared.traefik.files import certificate_files, file_path, place, place_certificate
from shared.traefik.models import (
    Buffering,
    Certificate,
    DefaultCertificate,
    DynamicConfiguration,
    Headers,
    HealthCheck,
    Http,
    IpAllowList,
    LoadBalancer,
    Middleware,
    RateLimit,
    RedirectScheme,
    ResponseForwarding,
    Router,
    RouterTls,
    Server,
    ServersTransport,
    Service,
    Store,
    StripPrefix,
    Tls,
    TlsOptions,
    Weighted,
    WeightedService,
    parse,
)
from shared.traefik.rules import all_of, header, host, path_prefix

__all__ = [
    "Buffering",
    "Certificate",
    "DefaultCertificate",
    "DynamicConfiguration",
    "Headers",
    "HealthCheck",
    "Http",
    "IpAllowList",
    "LoadBalancer",
    "Middleware",
    "RateLimit",
    "RedirectScheme",
    "ResponseForwarding",
    "Router",
    "RouterTls",
    "Server",
    "ServersTransport",
    "Service",
    "Store",
    "StripPrefix",
    "Tls",
    "TlsOptions",
    "Weighted",
    "WeightedService",
    "all_of",
    "certificate_files",
    "file_path",
    "header",
    "host",
    "parse",
    "path_prefix",
    "place",
    "place_certificate",
]
