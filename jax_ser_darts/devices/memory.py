"""Memory of CPU runs: freed pages stay with the process, and the heap is made of huge pages.

By default glibc gives every large buffer back to the system when it is freed, and the next step faults it in anew,
4 kB at a time: of the 6.6 s that a gradient of the supernet took so, 4 were spent on a million page faults.

Also the peak of memory, of whatever device.
"""

import ctypes
import os
import sys

import jax

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_NEVER = -1
_MADV_HUGEPAGE = 14  # sys/mman.h
_HUGE_PAGE = 2 << 20


def keep_freed_memory() -> bool:
    """Asks glibc to keep freed memory, and Linux for huge pages; call it before large arrays are made.

    Returns:
        Whether freed memory is kept: False on other systems, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # musl
        return False
    # One arena: those of other threads give their memory back whatever the threshold.
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER, _M_ARENA_MAX: 1}
    kept = all(libc.mallopt(name, value) for name, value in settings.items())
    if kept:
        _ask_for_huge_pages(libc, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4)
    return kept


def peak_memory() -> int:
    """The most memory held so far, bytes.

    Returns:
        That of the fullest device; of this process where devices have no statistics (CPUs); 0 where the system has none
        either (Windows).
    """
    statistics = [device.memory_stats() or {} for device in jax.local_devices()]
    peak = max(of_device.get("peak_bytes_in_use", 0) for of_device in statistics)
    if peak:
        return peak
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _ask_for_huge_pages(libc: ctypes.CDLL, size: int) -> None:
    """Marks `size` bytes of heap, without touching them. Where that is refused, pages stay small: no harm."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    block = libc.malloc(size)
    if block:
        start = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        libc.madvise(start, size - (start - block), _MADV_HUGEPAGE)
        libc.free(block)  # into the heap, where the next large buffers are cut from it
