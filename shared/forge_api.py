"""Where a forge's HTTP API is, how it takes a token, and how it names a repository. Pure; what is asked there is its callers' affair."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

NAMES: Mapping[str, str] = {
    "github": "GitHub",
    "gitlab": "GitLab",
    "bitbucket": "Bitbucket",
    "bitbucket-data-center": "Bitbucket Data Center",
    "gitea": "Gitea",
}
"""How people call each kind of forge."""
_PATHS = {"github": "/api/v3", "gitlab": "/api/v4", "bitbucket-data-center": "/rest/api/latest", "gitea": "/api/v1"}
"""Where a forge's API is on its own host."""
_HOSTS = {"github.com": "https://api.github.com", "bitbucket.org": "https://api.bitbucket.org/2.0"}
"""The forges whose API is on a host of its own."""
_REPOSITORIES = {
    "github": "repos/{owner}/{name}",
    "bitbucket": "repositories/{owner}/{name}",
    "bitbucket-data-center": "projects/{owner}/repos/{name}",
    "gitea": "repos/{owner}/{name}",
}
"""A repository's path below the API; GitLab names it by its whole path, as one part."""
_HEADERS: Mapping[str, Mapping[str, str]] = {
    "github": {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
    "bitbucket-data-center": {"X-Atlassian-Token": "no-check"},
}


def api_url_of(kind: str, address: str) -> str:
    """Where a forge's API is by default: always with the very forge that the repository is on, since the token is sent there.

    Empty where that cannot be told from the address, as where the forge is below a path of its host.
    """
    parts = urlsplit(address)
    if (parts.hostname or "") in _HOSTS:
        return _HOSTS[parts.hostname or ""]
    if kind not in _PATHS or not parts.hostname:
        return ""
    web = parts.scheme in ("https", "http")
    # Over SSH the port is git's, not the API's.
    return f"{parts.scheme if web else 'https'}://{parts.netloc if web else parts.hostname}{_PATHS[kind]}"


def identity_of(address: str) -> str:
    """`https://github.com/acme/todo.git` → `github.com/acme/todo`."""
    parts = urlsplit(address)
    return f"{parts.hostname or ''}{parts.path.removesuffix('/').removesuffix('.git')}".lower()


@dataclass(frozen=True)
class ForgeRepository:
    """A repository as its forge's API knows it. `identity` is host and path; without `api_url` the API is at its usual place."""

    kind: str
    identity: str
    api_url: str
    token: str = field(repr=False)

    @property
    def forge(self) -> str:
        """How people call the forge."""
        return NAMES.get(self.kind, self.kind)

    @property
    def name(self) -> str:
        """Without its owner's."""
        return self.identity.rpartition("/")[2]

    def url(self, path: str) -> str:
        """The address of something of the repository: `hooks?per_page=100`; of itself without a path."""
        below = self.api("")
        return f"{below}{self._named(below.rstrip('/'))}/{path}".removesuffix("/")

    def api(self, path: str) -> str:
        """The address of something of the forge itself: `app/installations`."""
        below = self.api_url or api_url_of(self.kind, f"https://{self.identity}")
        return f"{below.rstrip('/')}/{path}"

    def _named(self, below: str) -> str:
        path = self.identity.partition("/")[2].strip("/")
        if self.kind == "gitlab":
            # Below a path of its host (`relative_url_root`), that path is no part of the project's.
            root = urlsplit(below).path.removesuffix("/").removesuffix(_PATHS["gitlab"]).strip("/")
            return f"projects/{quote(path.removeprefix(f'{root}/') if root else path, safe='')}"
        owner, _, name = "/".join(path.split("/")[-2:]).rpartition("/")
        return _REPOSITORIES[self.kind].format(owner=quote(owner, safe="~"), name=quote(name, safe=""))

    @property
    def headers(self) -> dict[str, str]:
        """What each request needs, the token too."""
        scheme = "token" if self.kind == "gitea" else "Bearer"
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "Slipway",
            **_HEADERS.get(self.kind, {}),
            "Authorization": f"{scheme} {self.token}",
        }
