"""GitHub: `push` and `ping` (docs.github.com, "Webhook events and payloads")."""

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from services.webhooks.domain import Push, is_commit, is_zeros
from services.webhooks.forges.document import Document
from services.webhooks.forges.port import Headers, Identity, Reading, Unreadable
from services.webhooks.forges.signatures import signed_by_any
from shared.contracts.changes import Pusher


class GitHub:
    """Deliveries of github.com and GitHub Enterprise Server."""

    def identify(self, headers: Headers) -> Identity:
        """Hook and delivery: a redelivery has the same, and two hooks may get the same delivery."""
        return Identity(headers.get("x-github-hook-id", ""), headers.get("x-github-delivery", ""), headers.get("x-github-event", ""))

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str]) -> bool:
        """`X-Hub-Signature-256: sha256=<hex>`; the older SHA-1 header is not taken."""
        scheme, _, signature = headers.get("x-hub-signature-256", "").partition("=")
        return scheme == "sha256" and signed_by_any(secrets, body, signature)

    def read(self, headers: Headers, body: bytes) -> Reading:
        """A push is one ref; annotated tags lead to the commit that they point to (`head_commit`)."""
        document = Document.parse(_json_of(headers, body))
        match self.identify(headers).event:
            case "push":
                return Reading((_push(document),))
            case "ping":
                return Reading(ignored=f"pong: {document.text('zen') or 'the hook is connected'}")
            case event:
                return Reading(ignored=f"Slipway does not act on the event {event[:50]!r}; `push` is what it needs")


def _json_of(headers: Headers, body: bytes) -> bytes:
    """The JSON itself: GitHub's default content type wraps it in a form field."""
    if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return body
    try:
        fields = parse_qs(body.decode(), max_num_fields=10)
    except ValueError as error:
        raise Unreadable(f"the body is not a form: {error}") from None
    return fields.get("payload", [""])[0].encode("utf-8", "surrogatepass")


def _push(document: Document) -> Push:
    ref, after = document.text("ref"), document.text("after")
    name = document.text("repository", "full_name")
    missing = [what for what, found in (("ref", ref), ("after", is_commit(after)), ("repository.full_name", name)) if not found]
    if missing:
        raise Unreadable(f"the push lacks {', '.join(missing)}, or it is not what GitHub sends")
    head, before = document.text("head_commit", "id"), document.text("before")
    return Push(
        repository=f"{_host(document)}/{name}",
        clone_url=document.text("repository", "clone_url"),
        ref=ref,
        before=before if is_commit(before) and not is_zeros(before) else None,
        commit=_commit(document, head, after),
        pusher=_pusher(document),
        title=document.text("head_commit", "message"),
        author=document.text("head_commit", "author", "name"),
        web_url=document.text("head_commit", "url") or None,
    )


def _commit(document: Document, head: str, after: str) -> str | None:
    if document.flag("deleted") or is_zeros(after):
        return None
    return head if is_commit(head) else after


def _pusher(document: Document) -> Pusher:
    """`sender` is the account, with its immutable id; `pusher` has the mail address."""
    return Pusher(
        forge="github",
        login=document.text("sender", "login") or document.text("pusher", "name") or None,
        id=document.text("sender", "id") or None,
        email=document.text("pusher", "email") or None,
    )


def _host(document: Document) -> str:
    try:
        return urlsplit(document.text("repository", "html_url")).hostname or "github.com"
    except ValueError:
        return "github.com"
