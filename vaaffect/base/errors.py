"""The exception for mistakes that a user can cure, and two ways to be stopped from outside."""

from .text import printable


class UserError(Exception):
    """Something the user can put right.

    The message is one clear sentence that names the file or setting and the cure. The command line
    prints it without a traceback and exits with code 1. Names of files in it become `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class TimeOver(KeyboardInterrupt):
    """The time given to a study is over; it stops as at Ctrl-C, and can go on."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which clusters and `timeout` send; a study, say, stops as at Ctrl-C."""
