"""The lock of an open file, which ends with its holder's process."""

import fcntl


def try_lock(fd: int) -> bool:
    """Take the lock unless another holds it; tell whether it was taken."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
