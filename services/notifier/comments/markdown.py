"""Markdown that means the same on every forge: only what CommonMark and its forerunners have in common. Pure."""

import re

from shared.printable import printable

_LONGEST = 300
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:_~/%\[\]-]+")


def code(text: str) -> str:
    """Text from outside as a code span, in which forges see no markup, link, reference or mention; empty where there is none.

    Bitbucket Data Center looks for mentions in the source: an invisible space after each @ keeps it from that.
    """
    plain = printable(text).strip()
    plain = plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
    plain = plain.replace("`", "'").replace("@", "@\u200b")
    return f"`{plain}`" if plain else ""


def address(url: str) -> str:
    """A link that shows where it leads; what is no plain address is text."""
    return f"<{url}>" if _ADDRESS.fullmatch(url) else code(url)


def link(words: str, url: str) -> str:
    """Words that lead somewhere; words alone where the address is no plain one."""
    return f"[{words}]({url})" if _ADDRESS.fullmatch(url) else words


def hidden(mark: str) -> str:
    """A line that readers do not see: the definition of a link that nothing refers to (CommonMark 0.31, 4.7)."""
    return f"[//]: # (slipway {mark})"
