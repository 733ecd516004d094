"""The file provider's schema: https://doc.traefik.io/traefik/reference/routing-configuration/http/ (v3)."""

import json
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}(@[a-z]+)?$")]
Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(ms|s|m|h)$")]


class _Part(BaseModel):
    """A piece of the file: snake_case in Python, camelCase in the file, nothing unknown, immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


class _OneOf(_Part):
    """A part of which exactly one field is set, besides those that are no kinds: the kind of a service or of a middleware."""

    besides: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _has_one_kind(self) -> Self:
        kinds = [name for name in type(self).model_fields if name not in self.besides and getattr(self, name) is not None]
        if len(kinds) != 1:
            found = ", ".join(kinds) or "none"
            raise ValueError(f"exactly one kind must be given, found: {found}")
        return self


class RouterTls(_Part):
    """TLS is terminated here; the certificate is chosen by SNI from `Tls.certificates`."""

    options: Reference | None = None
    cert_resolver: Name | None = None


class Router(_Part):
    """Requests that match `rule` on one of `entry_points` go to `service`; higher `priority` is asked first."""

    rule: str
    service: Reference
    entry_points: tuple[Name, ...] = Field(min_length=1)
    middlewares: tuple[Reference, ...] | None = None
    priority: int | None = None
    tls: RouterTls | None = None


class Server(_Part):
    """One backend, as `http://address:port`."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s{}`]+$")]
    weight: int | None = Field(default=None, ge=0)


class HealthCheck(_Part):
    """Traefik's own probe; a server that fails it gets no requests."""

    path: Annotated[str, StringConstraints(pattern=r"^/[^\s{}`]*$")]
    interval: Duration | None = None
    timeout: Duration | None = None


class ResponseForwarding(_Part):
    """How often a response is flushed to the client while it streams."""

    flush_interval: Duration | None = None


class LoadBalancer(_Part):
    """Requests are spread over `servers`; an empty list answers 503."""

    servers: tuple[Server, ...]
    pass_host_header: bool | None = None
    health_check: HealthCheck | None = None
    response_forwarding: ResponseForwarding | None = None
    servers_transport: Reference | None = None


class WeightedService(_Part):
    """One share of a weighted service."""

    name: Reference
    weight: int = Field(ge=0)


class Weighted(_Part):
    """Requests are shared among other services by weight."""

    services: tuple[WeightedService, ...] = Field(min_length=1)


class Service(_OneOf):
    """Where requests go: servers, or a weighted choice of other services. Its middlewares hold wherever it is used."""

    besides: ClassVar[frozenset[str]] = frozenset({"middlewares"})

    middlewares: tuple[Reference, ...] | None = None
    load_balancer: LoadBalancer | None = None
    weighted: Weighted | None = None


class StripPrefix(_Part):
    """Takes the prefix off the path before the request is passed on."""

    prefixes: tuple[str, ...] = Field(min_length=1)


class RedirectScheme(_Part):
    """Answers with a redirection to the same address under another scheme."""

    scheme: Annotated[str, StringConstraints(pattern=r"^https?$")]
    port: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}$")] | None = None
    permanent: bool | None = None


class Headers(_Part):
    """Headers set on the request or on the response; an empty value removes one."""

    custom_request_headers: dict[str, str] | None = None
    custom_response_headers: dict[str, str] | None = None


class Buffering(_Part):
    """Refuses bodies above the limit (bytes) with 413, after reading them up to it."""

    max_request_body_bytes: int | None = Field(default=None, ge=0)
    mem_request_body_bytes: int | None = Field(default=None, ge=0)


class RateLimit(_Part):
    """At most `average` requests a `period`, with bursts."""

    average: int = Field(ge=0)
    period: Duration | None = None
    burst: int | None = Field(default=None, ge=1)


class SourceCriterion(_Part):
    """Which requests are counted together: those with one value of this header."""

    request_header_name: str


class InFlightReq(_Part):
    """At most `amount` requests at once of one source; others get 429."""

    amount: int = Field(ge=1)
    source_criterion: SourceCriterion


class Errors(_Part):
    """Answers of these statuses (`429`, `500-599`) are replaced by the service's, under the status that they are rewritten to."""

    status: tuple[str, ...] = Field(min_length=1)
    status_rewrites: dict[str, int]
    service: Reference


class IpAllowList(_Part):
    """Only these addresses or ranges may pass; others get 403."""

    source_range: tuple[str, ...] = Field(min_length=1)


class Middleware(_OneOf):
    """What happens to a request or a response on its way."""

    strip_prefix: StripPrefix | None = None
    redirect_scheme: RedirectScheme | None = None
    headers: Headers | None = None
    buffering: Buffering | None = None
    rate_limit: RateLimit | None = None
    in_flight_req: InFlightReq | None = None
    errors: Errors | None = None
    ip_allow_list: IpAllowList | None = None


class ServersTransport(_Part):
    """How Traefik talks to the servers of a service."""

    insecure_skip_verify: bool | None = None
    max_idle_conns_per_host: int | None = None


class Http(_Part):
    """Routers, services and middlewares by name. Of two files with one name the first by file name wins."""

    routers: dict[Name, Router] = Field(default_factory=dict)
    services: dict[Name, Service] = Field(default_factory=dict)
    middlewares: dict[Name, Middleware] = Field(default_factory=dict)
    servers_transports: dict[Name, ServersTransport] = Field(default_factory=dict)


class Certificate(_Part):
    """Paths of a PEM chain and its key, relative to the folder that Traefik works in; `certificate_files` makes them.

    A certificate renewed under the same path is loaded only when the dynamic file is replaced too.
    """

    cert_file: str
    key_file: str
    stores: tuple[Name, ...] | None = None


class DefaultCertificate(_Part):
    """Answers where no certificate fits the name that the client asked for."""

    cert_file: str
    key_file: str


class Store(_Part):
    """A certificate store; Traefik knows only the one named `default`."""

    default_certificate: DefaultCertificate


class TlsOptions(_Part):
    """Protocol limits of a router's TLS."""

    min_version: Annotated[str, StringConstraints(pattern=r"^VersionTLS1[23]$")] | None = None
    sni_strict: bool | None = None


class Tls(_Part):
    """Certificates, from which the one that fits the client's SNI is taken."""

    certificates: tuple[Certificate, ...] = ()
    stores: dict[Name, Store] = Field(default_factory=dict)
    options: dict[Name, TlsOptions] = Field(default_factory=dict)


class DynamicConfiguration(_Part):
    """The content of one file of the file provider."""

    http: Http | None = None
    tls: Tls | None = None

    def render(self) -> str:
        """YAML that Traefik's file provider takes.

        Raises ValueError when it says nothing (remove the file instead), or when a value holds `{{`,
        which Traefik would take for a template and which would freeze all files.
        """
        content = _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        if not content:
            raise ValueError("a dynamic configuration that says nothing: remove the file instead")
        text = yaml.safe_dump(content, sort_keys=False, width=1000)
        if "{{" in text or "}}" in text:
            raise ValueError("braces {{ }} are a template to Traefik and may not stand in its files")
        return text


def parse(text: str) -> DynamicConfiguration:
    """The inverse of `render`. Raises ValueError for anything that is not exactly this schema."""
    return DynamicConfiguration.model_validate_json(json.dumps(yaml.safe_load(text)))


def _without_empty(content: dict[str, Any]) -> dict[str, Any]:
    """Traefik refuses an empty `http`, `routers` …; empty *inner* parts (`tls: {}`) mean something."""
    sections = {name: {key: part for key, part in section.items() if part} for name, section in content.items()}
    return {name: section for name, section in sections.items() if section}
