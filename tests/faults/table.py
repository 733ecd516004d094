"""Every step of the saga's table, every fault, and the end that is expected. Written down here and nowhere else."""

from dataclasses import dataclass

from tests.faults.injection import Fault


@dataclass(frozen=True)
class Shape:
    """What an application consists of besides its service `web` and its database `db`."""

    wide: bool
    """A second service `aside`, and a second database `spare`."""


NARROW, WIDE = Shape(wide=False), Shape(wide=True)


@dataclass(frozen=True)
class Row:
    """A step, the change of the application in which it takes part, and where a deployment ends in which it fails for good."""

    step: str
    ends: str
    before: Shape = NARROW
    after: Shape = NARROW


ROWS = (
    # before the lock: nothing was touched
    Row("authorise", "failed"),
    Row("inspect", "failed"),
    Row("build-web", "failed"),
    Row("push-web", "failed"),
    # with the lock: the whole environment goes back
    Row("provision-database-db", "rolled_back"),
    Row("provision-database-spare", "rolled_back", after=WIDE),
    Row("connect-database-spare", "rolled_back", after=WIDE),
    Row("check-database-spare", "rolled_back", after=WIDE),
    Row("run-job-migrate", "rolled_back"),
    Row("deploy-container-web", "rolled_back"),
    Row("connect-container-web", "rolled_back"),
    Row("expose-web", "rolled_back"),
    Row("assign-domain-web", "rolled_back"),
    Row("issue-certificate-web", "rolled_back"),
    Row("check-container-web", "rolled_back"),
    Row("switch-web", "rolled_back"),
    Row("check-endpoint-web", "rolled_back"),
    # after the pivot: only forward, with an alert
    Row("retire-web", "succeeded"),
    Row("remove-service-aside", "succeeded", before=WIDE),
    Row("remove-database-spare", "succeeded", before=WIDE),
)


@dataclass(frozen=True)
class Case:
    """One fault at one step, and how the deployment ends."""

    row: Row
    fault: Fault
    ends: str

    def __str__(self) -> str:
        return f"{self.row.step}-{self.fault}"

    @property
    def shape_afterwards(self) -> Shape:
        """What the environment runs then."""
        return self.row.after if self.ends == "succeeded" else self.row.before

    @property
    def alerts(self) -> bool:
        """Whether the deployment ends with an alert."""
        return self.ends == "succeeded" and self.fault in {Fault.FAILS, Fault.SLEEPS}

    @property
    def answers_after_sleep(self) -> frozenset[str]:
        """What the worker that woke up may say: the fence refuses its effects once the environment has turned back, and what it
        was to look at is gone."""
        if self.fault is Fault.OVERSLEEPS:
            return frozenset({"refused", "failed", "done"})
        return frozenset({"refused", "failed"}) if self.ends == "rolled_back" else frozenset({"done"})


ENDS = {Fault.LOSES: "succeeded", Fault.DIES: "succeeded", Fault.OVERSLEEPS: "succeeded"}
"""Faults that pass, whatever the step; the others end as the row says."""
CASES = (
    *(Case(row, fault, ENDS.get(fault, row.ends)) for fault in Fault if fault is not Fault.DENIES for row in ROWS),
    Case(ROWS[0], Fault.DENIES, "denied"),
)
