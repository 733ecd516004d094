"""Defects that are put in on purpose, to see that the simulator finds them: some in the engine, some in what surrounds it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Patches:
    """What was replaced, so that it can be put back."""

    _before: list[tuple[object, str, object]] = field(default_factory=list)

    def replace(self, owner: object, name: str, value: object) -> None:
        """Another function, method or value under a name."""
        self._before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        """As it was."""
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)


@dataclass(frozen=True)
class Mutant:
    """One defect."""

    name: str
    says: str
    """What is wrong then."""
    patch: Callable[[Patches], None]

    def put_in(self) -> Patches:
        """From here on, in this process."""
        patches = Patches()
        self.patch(patches)
        return patches

    @contextmanager
    def here(self) -> Iterator[None]:
        """Only within."""
        patches = self.put_in()
        try:
            yield
        finally:
            patches.undo()


MUTANTS: dict[str, Mutant] = {}


def mutant(patch: Callable[[Patches], None]) -> Callable[[Patches], None]:
    """Registers a defect under its function's name; the docstring says what is wrong."""
    MUTANTS[patch.__name__] = Mutant(patch.__name__, (patch.__doc__ or "").strip(), patch)
    return patch
