"""Text from outside, made safe to print."""

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)"  # OSC and its kin: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""C0, C1, and the marks that turn the direction of the text around them."""
LONGEST = 2000


def printable(text: str) -> str:
    """One line that a terminal only prints: no escape sequences, no control characters; of a progress bar, its last state.

    What is longer than 2,000 characters is cut, and says so.
    """
    last = text.rstrip("\r\n").rsplit("\r", 1)[-1]
    clean = _ESCAPES.sub("", last).replace("\t", "    ").replace("\n", " ").translate(_CONTROLS)
    clean = clean.encode("utf-8", "replace").decode()
    return clean if len(clean) <= LONGEST else f"{clean[:LONGEST]} … ({len(clean) - LONGEST} more characters)"
