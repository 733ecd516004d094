"""What the command line says of environments that follow change requests, and of those that are made of them."""

from datetime import datetime, timedelta

from cli.answers import Json
from cli.moments import span_of


def followed(environment: Json) -> str:
    """What it follows, in a few words."""
    if environment["preview_of"]:
        return f"change request {environment['number']}" + (" of a fork" if environment["fork"] else "")
    return f"change requests into {environment['ref']}" if environment["follows"] == "change_requests" else str(environment["ref"])


def facts(environment: Json, template: Json | None) -> dict[str, str]:
    """All that there is to say of an environment; `template`: what a preview is like."""
    found = {
        "Name": environment["name"],
        "Kind": environment["kind"],
        "Follows": followed(environment),
        "Connection": environment["connection"] or "any",
        "Target": environment["target"],
        "Approval": "each deployment waits for it" if environment["needs_approval"] else "not asked for",
    }
    if environment["follows"] == "change_requests":
        found |= {"Previews": f"{environment['most']} at once, removed {span_of(environment['ttl_s'])} after the last update"}
    if environment["preview_of"]:
        found |= {"Like": environment["preview_of"], "Page": environment["web_url"] or "", "Secrets": "none" if environment["fork"] else ""}
        found["Until"] = _until(environment, template)
    return {title: value for title, value in found.items() if value}


def _until(preview: Json, template: Json | None) -> str:
    if preview["removing_at"]:
        return "it is being removed"
    if template is None or template["ttl_s"] is None:
        return ""
    ends = datetime.fromisoformat(preview["updated_at"]) + timedelta(seconds=template["ttl_s"])
    return f"{ends.astimezone():%Y-%m-%d %H:%M}, unless it is updated"
