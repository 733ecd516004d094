"""The audit log. Auth keeps it."""

from fastapi import APIRouter
from pydantic import BaseModel

from services.api.access import Asking, of_organization
from services.api.dependencies import Using
from services.api.paging import Page, Paged
from shared.messages import Slug
from shared.proto import auth_pb2 as pb
from shared.rpc import CALL_S

router = APIRouter(tags=["audit"])


class AuditEntry(BaseModel):
    """Who did (or was denied) what to what, when, and by which rule."""

    id: str
    time: str
    subject: str
    action: str
    resource: str
    allowed: bool
    rule: str
    details: str


@router.get("/audit/{organization}")
async def list_audit(organization: Slug, window: Paged, caller: Asking, using: Using) -> Page[AuditEntry]:
    """An organization's audit log, the newest first."""
    await caller.may("audit.read", of_organization(organization))
    request = pb.ListAuditRequest(organization=organization, after=window.after, limit=window.limit)
    found = await using.auth.stub.ListAudit(request, timeout=CALL_S)
    entries = [
        AuditEntry(
            id=entry.id,
            time=entry.time,
            subject=entry.subject,
            action=entry.action,
            resource=entry.resource,
            allowed=entry.allowed,
            rule=entry.rule,
            details=entry.details,
        )
        for entry in found.entries
    ]
    return Page(items=entries, next=found.next or None)
