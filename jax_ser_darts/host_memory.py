"""Memory of CPU runs: freed pages stay with the process.

glibc gives every large buffer back to the system when it is freed and faults it in anew, page by page, at the next
step. Single operations on 33 MB arrays took up to 5 times as long so, others no longer.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Asks glibc to keep freed memory; call it before large arrays are made.

    Returns:
        Whether it was possible: False on other systems, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from musl
    return mallopt is not None and bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
