"""One service as a process of its own, as the supervisor's fork is: `python -m tests.faults.strikes.service NAME`."""

import importlib
import sys

from shared.process import run

if __name__ == "__main__":
    run(importlib.import_module(f"services.{sys.argv[1]}.app").main)
