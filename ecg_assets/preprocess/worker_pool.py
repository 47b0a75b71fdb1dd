"""Processes that read recordings beside the one that writes them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait


@contextmanager
def worker_pool(n_workers: int) -> Iterator[Executor | None]:
    """Give a pool of processes, or None for a single worker.

    Processes, not threads: two threads that read short files take each other's
    interpreter lock away and need twice the time of one. They start with the first task,
    and end with this block or with this process, however that ends.
    """
    if n_workers <= 1:
        yield None
        return
    pool = ProcessPoolExecutor(
        n_workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Leave when the parent is killed; a waiting worker would not notice it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
