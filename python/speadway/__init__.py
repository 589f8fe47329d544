"""Receive and send SPEAD streams."""

import atexit as _atexit

from ._speadway import Empty, Flavour, Full, InprocQueue, Stopped, ThreadPool, __version__
from ._speadway import stop_all as _stop_all

_atexit.register(_stop_all)

__all__ = ["Empty", "Flavour", "Full", "InprocQueue", "Stopped", "ThreadPool", "__version__"]
