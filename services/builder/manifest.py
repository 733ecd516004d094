"""slipway.yaml: read, checked as a whole, and every problem told at once, each with its line.

Pure: text in, `Manifest` or `ManifestInvalid` out.
"""

from collections.abc import Mapping
from contextlib import suppress

from services.builder.dockerfile import Dockerfile
from services.builder.manifest_checks import check
from services.builder.manifest_sections import MANIFEST
from services.builder.yaml_reading import MOST_PROBLEMS, Enough, Problem, Reading, Wrong
from shared.contracts.manifest import HealthCheck, Manifest, ServiceManifest

FILE = "slipway.yaml"
LARGEST_BYTES = 256 * 1024
_SHOWN = 20


class ManifestInvalid(Exception):
    """The manifest cannot be used; `problems` holds what is wrong, in the order of the file: all of it, or `MOST_PROBLEMS`."""

    def __init__(self, problems: tuple[Problem, ...], message: str = "") -> None:
        super().__init__(message or _told(problems))
        self.problems = problems


def parse(content: bytes) -> Manifest:
    """Reads the file; raises `ManifestInvalid` with its problems. Takes seconds where somebody means harm: not for an event loop."""
    reading = Reading()
    manifest = _parse(reading, content)
    if reading.problems:
        raise ManifestInvalid(tuple(sorted(reading.problems)))
    return manifest


def invalid(content: bytes, wrong: Mapping[str, str]) -> ManifestInvalid:
    """Of a file that reads well: what is wrong at which of its keys (`services.web.watch.0`), as found in the repository."""
    reading = Reading()
    _parse(reading, content)
    with suppress(Enough):
        for path, text in wrong.items():
            reading.wrong_at(path, text)
    return ManifestInvalid(tuple(sorted(reading.problems)))


def too_large() -> ManifestInvalid:
    """Of a file beyond `LARGEST_BYTES`."""
    return ManifestInvalid((Problem(1, 1, "", f"larger than {LARGEST_BYTES // 1024} KiB"),))


def without_file(dockerfile: Dockerfile | None, found: str | None = None) -> Manifest:
    """The manifest of a repository that has none: one service `web` from the Dockerfile at its root.

    `found` is a file that was probably meant to be the manifest. Raises `ManifestInvalid`, which says what to write.
    """
    if found is not None:
        raise ManifestInvalid((), f"{FILE} is missing at the root of the repository, but there is {found}: rename it to {FILE}")
    if dockerfile is None:
        raise ManifestInvalid((), f"There is neither {FILE} nor a Dockerfile at the root of the repository. {_EXAMPLE}")
    if not dockerfile.exposed:
        raise ManifestInvalid((), f"There is no {FILE}, and the Dockerfile does not say on which port it listens (EXPOSE). {_EXAMPLE}")
    port = dockerfile.exposed[0]
    return Manifest(services={"web": ServiceManifest(port=port, health=HealthCheck(tcp=True))})


_EXAMPLE = f"""Write {FILE}, for example:
services:
  web:
    port: 8080"""


def _parse(reading: Reading, content: bytes) -> Manifest:
    if len(content) > LARGEST_BYTES:
        raise too_large()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManifestInvalid((Problem(line, 1, "", "not UTF-8"),)) from None
    root = reading.compose(text)
    if root is None:
        if not reading.problems:
            raise ManifestInvalid((Problem(1, 1, "", f"empty. {_EXAMPLE}"),))
        return Manifest()
    try:
        manifest = Manifest.model_validate(reading.section(root, "", MANIFEST))
        check(reading, manifest)
    except Wrong as wrong:
        reading.wrong(root, "", str(wrong))
    except Enough:
        pass
    else:
        return manifest
    return Manifest()


def _told(problems: tuple[Problem, ...]) -> str:
    count = len(problems)
    many = f"at least {count}" if count >= MOST_PROBLEMS else str(count)
    head = f"{FILE} has a problem:" if count == 1 else f"{FILE} has {many} problems:"
    more = [f"… and {count - _SHOWN} more"] if count > _SHOWN else []
    return "\n".join([head, *(f"  {problem}" for problem in problems[:_SHOWN]), *more])
