"""The one exception a user is meant to read: what is wrong, where, and what to do."""

from __future__ import annotations


class HwgenError(Exception):
    """Bad input or a missing tool; the command line prints it alone and exits with 2.

    Parameters
    ----------
    what : str
        What is wrong ("X must be <rule>, not <value>").
    where : str, optional
        File, layer, key or command index the message is about.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  -> {remedy}" if remedy else text)
