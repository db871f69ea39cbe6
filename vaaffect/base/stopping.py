"""What ends a command from outside: its minutes, or a signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import Terminated, TimeOver


@contextmanager
def stopped_by_signals(minutes: float | None) -> Iterator[None]:
    """Raise TimeOver in the block when its minutes are over, Terminated at SIGTERM."""

    def stop(number: int, _: object) -> None:
        if number == signal.SIGTERM:
            raise Terminated("ended from outside")
        raise TimeOver(f"{minutes:g} minutes are over")

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, 60 * (minutes or 0))  # 0: no alarm
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
