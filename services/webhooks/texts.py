"""Texts from outside, made fit for storage."""

from shared.contracts.changes import Pusher


def clean(text: str) -> str:
    """Text that PostgreSQL and UTF-8 can hold: NUL and lone surrogates become U+FFFD, pairs of surrogates one character."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


def cleaned_pusher(pusher: Pusher) -> Pusher:
    """The account, its names cut to what a mail address may have."""
    return Pusher(
        forge=pusher.forge,
        login=_name(pusher.login),
        id=_name(pusher.id),
        email=_name(pusher.email),
        person=_name(pusher.person),
    )


def _name(text: str | None) -> str | None:
    return None if text is None else clean(text)[:320]


def first_line(text: str) -> str:
    """The first line that says something."""
    return clean(next(iter(text.strip().splitlines()), ""))
