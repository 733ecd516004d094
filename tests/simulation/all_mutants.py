"""Every defect that is kept: the modules that define them are known once this one is imported."""

from tests.simulation import (
    belief_mutants,
    engine_mutants,
    plan_mutants,
    preview_mutants,
    promise_mutants,
    relay_mutants,
    replica_mutants,
    surrounding_mutants,
)
from tests.simulation.mutants import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "belief_mutants",
    "engine_mutants",
    "plan_mutants",
    "preview_mutants",
    "promise_mutants",
    "relay_mutants",
    "replica_mutants",
    "surrounding_mutants",
]
