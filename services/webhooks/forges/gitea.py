"""Gitea and Forgejo (docs.gitea.com, "Webhooks"): GitHub's form with headers of their own."""

from collections.abc import Sequence

from services.webhooks.domain import ChangeRequest
from services.webhooks.forges.document import Document, Headers
from services.webhooks.forges.github_form import creation_in, deletion_in, listed_in, push_in, request_in
from services.webhooks.forges.port import Identity, Reading, unknown
from services.webhooks.forges.signatures import sha256_header_of_any, signed_by_any

FORGE = "gitea"


class Gitea:
    """Each header comes under several names; Forgejo's own is looked at first."""

    def identify(self, headers: Headers) -> Identity:
        """Neither says which hook it was. A redelivery from its settings page has an id of its own."""
        return Identity("", _header(headers, "delivery"), _header(headers, "event"))

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """`X-Forgejo-Signature` or `X-Gitea-Signature` (hex), else `X-Hub-Signature-256: sha256=<hex>`; the first there is has to fit."""
        if signature := _header(headers, "signature"):
            return signed_by_any(secrets, body, signature)
        return sha256_header_of_any(secrets, body, headers.get("x-hub-signature-256", ""))

    def read(self, headers: Headers, body: bytes) -> Reading:
        """Its test delivery is a push whose head did not move."""
        document = Document.of(headers, body)
        match self.identify(headers).event:
            case "push":
                return Reading((push_in(document, FORGE),))
            case "delete":
                return Reading((deletion_in(document, FORGE),))
            case "create":
                return creation_in(document)
            case "pull_request" | "pull_request_sync":
                return request_in(document, FORGE)
            case event:
                return unknown(event)

    def listed(self, item: Document, repository: str) -> ChangeRequest:
        """As a delivery says it."""
        return listed_in(item, repository, FORGE)


def _header(headers: Headers, name: str) -> str:
    return headers.get(f"x-forgejo-{name}", "") or headers.get(f"x-gitea-{name}", "")
