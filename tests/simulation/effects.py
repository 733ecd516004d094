"""What each command does on the target, one look and one effect after the other."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.contracts import commands as c
from shared.contracts.commands import Command, Direction
from tests.simulation import data_effects as data
from tests.simulation import service_effects as services
from tests.simulation.target import Landing, Target

Effect = Callable[[Target, Command], Landing | None]
"""Looks and writes records; what the container engine is asked for it hands back, since that may happen later."""


@dataclass(frozen=True)
class Look:
    """A wait without an effect, and without the lease."""

    at: Callable[..., None]


Script = tuple[Callable[..., Landing | None] | Look, ...]
DO: dict[type[Command], Script] = {
    c.ProvisionDatabase: (data.provision,),
    c.ConnectDatabase: (data.connect_database,),
    c.CheckDatabase: (Look(data.check_database),),
    c.RunJob: (data.start_job, data.run_job),
    c.DeployContainer: (services.deploy,),
    c.ConnectContainer: (services.connect,),
    c.ExposeCandidate: (services.expose,),
    c.AssignDomain: (services.assign,),
    c.IssueCertificate: (services.issue,),
    c.CheckCandidate: (Look(services.check_candidate),),
    c.SwitchTraffic: (services.promote, services.switch),
    c.CheckEndpoint: (Look(services.check_endpoint),),
    c.RetireRelease: (services.retire_containers, services.retired),
    c.RemoveService: (services.forget_service, services.clear_service),
    c.RemoveDatabase: (data.detach, data.forget),
}
UNDO: dict[type[Command], Script] = {
    c.ProvisionDatabase: (data.restore, data.forget_made),
    c.ConnectDatabase: (services.nothing,),
    c.RunJob: (data.undo_job, data.undo_job),  # again where it was found to run by then
    c.DeployContainer: (services.remove,),
    c.ConnectContainer: (services.nothing,),
    c.ExposeCandidate: (services.hide,),
    c.AssignDomain: (services.give_back,),
    c.IssueCertificate: (services.withdraw,),
    c.SwitchTraffic: (services.stop_again, services.bring_back, services.switch_back),
}


def begin_undo(target: Target, command: Command) -> None:
    """From here on nothing that carries the step's key may stand; what another deployment's switch had replaced is history."""
    target.undone.add(command.step_key)
    for record in list(target.services.values()):
        target.keep(record.outlived(str(command.deployment)))


def sweep(target: Target, command: Command) -> None:
    """What undone steps left goes; what a retirement left is to be looked after."""
    target.sweep()
    target.left = target.left or target.outlived(command.epoch or 0)


def _sweep(target: Target, command: Command) -> None:
    sweep(target, command)
    target.swept()


def script(command: Command) -> Script:
    """What a command does, in order."""
    if command.direction is Direction.DO:
        return DO.get(type(command), ())
    return (begin_undo, *UNDO[type(command)], _sweep)
