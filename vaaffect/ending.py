"""How a command ends when the system stands in its way: a full disk, a reader that has gone."""

import errno
import os
import select
import sys

_CURES = {  # of errors of the system that a user can put right
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "free some space, or choose another place",
    errno.EFBIG: "choose a place that takes larger files",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a file is where a folder is needed, so choose another name",
    errno.EEXIST: "a file is where a folder is needed, so choose another name",
    errno.EISDIR: "a folder is where a file is needed, so choose another name",
    errno.ELOOP: "remove the link",
    errno.EIO: "see whether the disk and its cable are sound",
    errno.EINVAL: "choose a name without characters that this disk does not take, such as a colon",
}


def in_words(error: OSError) -> str | None:
    """An error of the system in a sentence that names the file and the cure; None for one that no
    user can put right, which is a bug."""
    if error.errno not in _CURES or (error.errno == errno.EINVAL and not error.filename):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {_CURES[error.errno]}."


def drop_output() -> bool:
    """Whether what is printed reaches nobody any more; from now on it goes nowhere, for the
    interpreter would try once more at its end, and complain."""
    dropped = False
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        if stream is None:  # it was closed from the beginning
            continue
        watched = select.poll()
        watched.register(number, 0)  # errors are told without being asked for
        gone = any(events & select.POLLERR for _, events in watched.poll(0))
        try:
            stream.flush()
        except OSError:
            gone = True
        if gone:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
            dropped = True
    return dropped
