"""The program. Status 0 where all went as it says, 1 where something did not, 130 after Ctrl-C."""

import sys

from examples.demo.failures import DemoFailed
from examples.demo.story import tell
from examples.demo.terminal import Terminal


def main() -> int:
    """Tells the story, and says what it could not show."""
    terminal = Terminal()
    try:
        tell(terminal)
    except DemoFailed as failed:
        terminal.failed(str(failed), failed.remedy)
        return 1
    except KeyboardInterrupt:
        terminal.failed("Left before its end.", "What was started goes on; look at it: slipway status")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
