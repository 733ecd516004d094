"""What lists and live streams are narrowed to."""

from typing import Annotated

from fastapi import Depends

from shared.messages import Slug


def _of_place(organization: Slug | None = None, project: Slug | None = None, environment: Slug | None = None) -> dict[str, str]:
    return {"organization": organization or "", "project": project or "", "environment": environment or ""}


OfPlace = Annotated[dict[str, str], Depends(_of_place)]
"""An organization, project or environment, as the store's functions take it: where one is empty, any."""
