"""The few errors that this package raises on purpose.

A `BadRecord` becomes a row of a shard's rejects; every other one stops the run.
Each message says what was expected, what was found, where, and what to do.
"""

from __future__ import annotations

import re


class EcgAssetsError(Exception):
    """Base class of all errors raised on purpose; passwords in URLs are left out of the message.

    Messages go to logs, to the UI and to whoever is alerted.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(hide_password(arg) if isinstance(arg, str) else arg for arg in args))


def hide_password(text: str) -> str:
    """Replace user and password of URLs.

    >>> hide_password("No bucket at s3://me:secret@host/bucket.")
    'No bucket at s3://***@host/bucket.'
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


class SettingsError(EcgAssetsError):
    """A setting is missing or points at nothing usable."""


class SchemaError(EcgAssetsError):
    """A table lacks a column, holds a wrong type, or breaks a rule of its schema."""


class BadRecord(EcgAssetsError):
    """One recording cannot be used.

    Parameters
    ----------
    reason
        Short code in snake case, the same for every record with this fault, e.g. ``missing_file``.
    detail
        One sentence about this record.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DiskFull(EcgAssetsError):
    """A file could not be written, because its disk is full."""


class LeakageError(EcgAssetsError):
    """A patient stands in more than one split."""


class CheckpointError(EcgAssetsError):
    """A checkpoint is missing, incomplete or of another kind than asked for."""


class UnsafeCheckpoint(CheckpointError):
    """A checkpoint would execute code when loaded."""


class SpecMismatch(EcgAssetsError):
    """Signals or labels are not what the model was trained on; the message prints both."""


class StaleInput(EcgAssetsError):
    """An input was made with other settings than those now, or two inputs from different things."""


class MissingInput(EcgAssetsError, FileNotFoundError):
    """What a step reads has not been materialized."""


class ReportError(EcgAssetsError):
    """A report would show a number that the data beside it does not hold."""
