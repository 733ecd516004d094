"""What a service is built from: Dockerfile and context, found in the checkout and never outside it.

A repository may hold links that lead out of it (`Dockerfile -> /root/.ssh/id_rsa`); the client would read through them.
"""

from dataclasses import dataclass
from pathlib import Path

from services.builder import dockerfile, frontends
from shared.contracts.manifest import BuildSpec
from shared.work import StepFailure


@dataclass(frozen=True)
class Recipe:
    """A build that can be given to the client."""

    context: Path
    file: Path
    dockerfile: dockerfile.Dockerfile


def recipe_of(source: Path, service: str, build: BuildSpec) -> Recipe:
    """Finds what the build needs; raises `StepFailure` that says where it looked, or which frontend may not build."""
    context = _inside(source, build.context)
    if not context.is_dir():
        raise StepFailure(
            "build_context_missing", f"services.{service}.build.context: there is no folder {build.context} in the repository"
        )
    file = _inside(source, build.dockerfile)
    if not file.is_file():
        raise StepFailure("dockerfile_missing", _missing(source, service, build))
    for ignored in (context / ".dockerignore", file.with_name(f"{file.name}.dockerignore")):
        _inside(source, str(ignored.relative_to(source.resolve())))
    with file.open("rb") as opened:
        content = opened.read(dockerfile.LARGEST_BYTES + 1)
    if len(content) > dockerfile.LARGEST_BYTES:
        raise dockerfile.too_large(build.dockerfile)
    text = content.decode(errors="replace")
    frontends.check(service, build.dockerfile, text, build.args)
    return Recipe(context, file, dockerfile.parse(text))


def arguments_of(recipe: Recipe, build: BuildSpec, defaults: dict[str, str]) -> dict[str, str]:
    """The build's arguments: the manifest's, and those of ours that the Dockerfile declares and the manifest leaves open."""
    declared = {name: value for name, value in defaults.items() if name in recipe.dockerfile.arguments}
    return {**declared, **build.args}


def _inside(source: Path, path: str) -> Path:
    real = (source / path).resolve()
    if not real.is_relative_to(source.resolve()):
        raise StepFailure("build_path_outside", f"{path} is a link that leads out of the repository")
    return real


def _missing(source: Path, service: str, build: BuildSpec) -> str:
    root = source.resolve()
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*[Dd]ockerfile*") if path.is_file() and ".git" not in path.parts)
    there = (
        f" There is {', '.join(found[:5])}: name it with services.{service}.build.dockerfile."
        if found
        else " There is none anywhere in it."
    )
    return f"There is no {build.dockerfile} in the repository (looked from its root, for the service {service}).{there}"
