"""Where things are: organizations, projects, environments, targets, and how they are written in subjects and hosts."""

from enum import StrEnum

from pydantic import Field

from shared.messages import Frozen, Slug


class EnvironmentKind(StrEnum):
    """What an environment is for."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    PREVIEW = "preview"


class ChangeRequest(Frozen):
    """A change request (a pull request, a merge request), by what tells it apart."""

    repository: str = Field(description="Its repository's identity, e.g. github.com/acme/todo")
    number: str = Field(description="Never given twice in its repository")


class Place(Frozen):
    """One environment, by the slugs that lead to it."""

    organization: Slug
    project: Slug
    environment: Slug

    def __str__(self) -> str:
        return f"{self.organization}/{self.project}/{self.environment}"

    @property
    def subject(self) -> str:
        """The three slugs as they stand in a subject."""
        return f"{self.organization}.{self.project}.{self.environment}"

    def host(self, service: str) -> str:
        """The address that a service gets where no domain is given."""
        return f"{service}.{self.environment}.{self.project}.{self.organization}.localhost"
