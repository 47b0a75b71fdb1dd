"""Compare the fingerprints that a result was made from with those stored now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mismatch:
    """One input that is no longer what the result was made from."""

    asset: str
    required: str
    stored: str | None

    def __str__(self) -> str:
        if self.stored is None:
            return f"{self.asset}: made from {self.required[:12]}, nothing is stored now"
        return f"{self.asset}: made from {self.required[:12]}, stored now is {self.stored[:12]}"


def find_mismatches(required: Mapping[str, str], stored: Mapping[str, str]) -> list[Mismatch]:
    """List the inputs whose stored fingerprint is not the required one, by asset name.

    Parameters
    ----------
    required
        Asset name (``asset`` or ``asset[partition]``) to the fingerprint a result was made from.
    stored
        Asset name to the fingerprint stored now; an absent name means nothing is stored.

    >>> [str(m) for m in find_mismatches({"split": "abc"}, {})]
    ['split: made from abc, nothing is stored now']
    """
    return [
        Mismatch(asset, fingerprint, stored.get(asset))
        for asset, fingerprint in sorted(required.items())
        if stored.get(asset) != fingerprint
    ]
