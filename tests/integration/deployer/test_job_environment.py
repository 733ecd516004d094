"""What a job and its undo are told of the deployment that they belong to."""

from shared.contracts import commands as c
from shared.contracts import facts as f
from tests.integration.deployer.rig import Site

STEP = "run-job-migrate"


async def test_a_job_and_its_undo_know_their_deployment(here: Site) -> None:
    """Both get its id, so that an undo takes back what its own deployment did and nothing of an earlier one (examples/todo does)."""
    first, second = here.deployment(), here.deployment()
    job = here.job('echo "does $SLIPWAY_DEPLOYMENT"', undo='echo "undoes $SLIPWAY_DEPLOYMENT"')
    for deployment in (first, second):
        await deployment.do(c.RunJob, STEP, f.JobSucceeded, job=job)
        undone = await deployment.undo(c.RunJob, STEP, f.JobUndone, job=job)
        assert undone.ran_undo
        assert [line for line in deployment.journal.lines if "does" in line] == [f"does {deployment.id}", f"undoes {deployment.id}"]
