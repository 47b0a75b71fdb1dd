"""The few errors that this package raises on purpose.

A `BadRecord` becomes a row of a shard's rejects; every other one stops the run.
Each message says what was expected, what was found, where, and what to do.
"""

from __future__ import annotations


class EcgAssetsError(Exception):
    """Base class of all errors raised on purpose."""


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


class LeakageError(EcgAssetsError):
    """A patient stands in more than one split."""


class CheckpointError(EcgAssetsError):
    """A checkpoint is missing, incomplete or of another kind than asked for."""


class UnsafeCheckpoint(CheckpointError):
    """A checkpoint would execute code when loaded."""


class SpecMismatch(EcgAssetsError):
    """Signals or labels are not what the model was trained on; the message prints both."""


class ReportError(EcgAssetsError):
    """A report would show a number that the data beside it does not hold."""
