"""Images as package URLs (https://github.com/package-url/purl-spec, type `oci`). Pure."""

from urllib.parse import quote


def purl(image: str) -> str:
    """`registry:5000/main/web@sha256:ab…` → `pkg:oci/web@sha256%3Aab…?repository_url=registry:5000/main/web`."""
    repository, _, digest = image.partition("@")
    name = quote(repository.rpartition("/")[2].lower(), safe="")
    version = f"@{quote(digest, safe='')}" if digest else ""
    return f"pkg:oci/{name}{version}?repository_url={quote(repository, safe='/:')}"
