"""Load many modules at once without looking for garbage in them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import within this: what is loaded stays, and is not looked through for garbage.

    The collector would go through all that is loaded again and again, and once more when the
    process ends: a third of the time that the definitions take to load. What there is when
    the first such block of a process ends is not looked through later, either.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
    if not gc.get_freeze_count():
        gc.freeze()
