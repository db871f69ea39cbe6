"""The one exception for mistakes that a user can cure."""


class UserError(Exception):
    """Something the user can put right.

    The message is one clear sentence that names the file or setting and the cure. The command line
    prints it without a traceback and exits with code 1.
    """
