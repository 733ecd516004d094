"""Which images can be assembled, in which versions, and how each is made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedded.images.filesystem import Tree
from embedded.images.image import Settings
from embedded.images.recipes import node, postgres, registry, shell, traefik


@dataclass(frozen=True)
class Recipe:
    """How an image is made: `assemble(version, work folder)`; the first of `versions` is the default."""

    versions: tuple[str, ...]
    assemble: Callable[[str, Path], tuple[Tree, Settings]]


RECIPES = {
    "node": Recipe(node.VERSIONS, node.assemble),
    "postgres": Recipe(postgres.VERSIONS, postgres.assemble),
    "registry": Recipe(registry.VERSIONS, registry.assemble),
    "shell": Recipe(shell.VERSIONS, shell.assemble),
    "traefik": Recipe(traefik.VERSIONS, traefik.assemble),
}


class UnknownImageError(Exception):
    """No recipe makes this image or this version of it; the message lists what there is."""


@dataclass(frozen=True)
class Choice:
    """A name and a version that a recipe exists for."""

    name: str
    version: str

    @property
    def recipe(self) -> Recipe:
        """The recipe that makes it."""
        return RECIPES[self.name]


def find(wanted: str) -> Choice:
    """Read `name` or `name:version`; UnknownImageError where no recipe makes it."""
    name, _, version = wanted.partition(":")
    recipe = RECIPES.get(name)
    if recipe is None:
        raise UnknownImageError(f"no image {name!r} can be assembled; there are: {', '.join(RECIPES)}")
    chosen = version or recipe.versions[0]
    if chosen not in recipe.versions:
        raise UnknownImageError(f"{name} {chosen} cannot be assembled from packages; there are: {', '.join(recipe.versions)}")
    return Choice(name, chosen)


def everything() -> list[str]:
    """Each image in each version, as `find` reads it."""
    return [f"{name}:{version}" for name, recipe in RECIPES.items() for version in recipe.versions]
