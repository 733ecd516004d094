"""Every kind of strike, in the order in which they take turns."""

from tests.faults.strikes.kinds.bus import KINDS as BUS
from tests.faults.strikes.kinds.clocks import KINDS as CLOCKS
from tests.faults.strikes.kinds.database import KINDS as DATABASE
from tests.faults.strikes.kinds.disks import KINDS as DISKS
from tests.faults.strikes.kinds.network import KINDS as NETWORK
from tests.faults.strikes.kinds.participants import KINDS as PARTICIPANTS
from tests.faults.strikes.kinds.processes import KINDS as PROCESSES
from tests.faults.strikes.kinds.replicas import KINDS as REPLICAS
from tests.faults.strikes.kinds.strike import Strike

KINDS: dict[str, Strike] = {
    strike.name: strike for strike in (*PROCESSES, *BUS, *DATABASE, *DISKS, *NETWORK, *PARTICIPANTS, *REPLICAS, *CLOCKS)
}
