"""Values of settings from environment variables, and of the machine."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from ecg_assets.errors import SettingsError
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS

_Number = TypeVar("_Number", int, float)


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_number(kind: type[_Number], variable: str, default: str) -> _Number:
    """Read a number from the environment."""
    text = os.environ.get(variable, default)
    try:
        return kind(text)
    except ValueError as error:
        raise SettingsError(f"{variable} is {text!r}; expected {kind.__name__}.") from error


def read_choice(variable: str, *allowed: str, default: str | None = None) -> Any:
    """Read one of a few words from the environment; the first is the default unless given."""
    text = os.environ.get(variable, default or allowed[0])
    if text not in allowed:
        raise SettingsError(f"{variable} is {text!r}; allowed: {allowed}.")
    return text


def read_leads(variable: str, default: str) -> list[str]:
    """Read a comma-separated list of leads from the environment; ``all`` means twelve."""
    text = os.environ.get(variable, default)
    if text.strip().lower() == "all":
        return list(STANDARD_LEADS)
    return _split_words(text)


def read_words(variable: str) -> list[str]:
    """Read a comma-separated list from the environment; none by default."""
    return _split_words(os.environ.get(variable, ""))


def _split_words(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
