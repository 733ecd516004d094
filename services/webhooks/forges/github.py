"""GitHub (docs.github.com, "Webhook events and payloads"): github.com and GitHub Enterprise Server."""

from collections.abc import Sequence

from services.webhooks.domain import ChangeRequest
from services.webhooks.forges.document import Document, Headers
from services.webhooks.forges.github_form import creation_in, deletion_in, listed_in, push_in, request_in
from services.webhooks.forges.port import Identity, Reading, unknown
from services.webhooks.forges.signatures import sha256_header_of_any

FORGE = "github"


class GitHub:
    """Deliveries as JSON or as a form, signed with the hook's secret."""

    def identify(self, headers: Headers) -> Identity:
        """A redelivery has the same id; so has the same event through another hook."""
        return Identity(headers.get("x-github-hook-id", ""), headers.get("x-github-delivery", ""), headers.get("x-github-event", ""))

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """`X-Hub-Signature-256: sha256=<hex>`; the older SHA-1 header is not taken."""
        return sha256_header_of_any(secrets, body, headers.get("x-hub-signature-256", ""))

    def read(self, headers: Headers, body: bytes) -> Reading:
        """More than three tags pushed at once make no event at all: those the sweep finds."""
        document = Document.of(headers, body)
        match self.identify(headers).event:
            case "push":
                return Reading((push_in(document, FORGE),))
            case "delete":
                return Reading((deletion_in(document, FORGE),))
            case "create":
                return creation_in(document)
            case "pull_request":
                return request_in(document, FORGE)
            case "ping":
                return Reading(ignored=f"pong: {document.text('zen') or 'the hook is connected'}")
            case event:
                return unknown(event)

    def listed(self, item: Document, repository: str) -> ChangeRequest:
        """As a delivery says it."""
        return listed_in(item, repository, FORGE)
