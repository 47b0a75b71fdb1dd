"""Which shares of the patients are for validation and test, and the split rule's name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ecg_assets.errors import SettingsError

MOST = 0.5
"""Largest share of each; training has what the two leave."""

_RULE = re.compile(r"hash of patient, seed (-?\d+), [^/]+/([^/]+)/([^/]+)")


@dataclass(frozen=True)
class SplitShares:
    """Shares of patients in valid and test, each 0 to 0.5; some must be left for training.

    Raises
    ------
    SettingsError
        When a share is out of its range, or the two leave no patient to train on.
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for variable, share in (("ECG_VALID_SHARE", self.valid), ("ECG_TEST_SHARE", self.test)):
            if not 0 <= share <= MOST:
                raise SettingsError(f"{variable} is {share}; set it to a share from 0 to {MOST}.")
        if self.valid + self.test >= 1:
            raise SettingsError(
                f"ECG_VALID_SHARE {self.valid} and ECG_TEST_SHARE {self.test} leave no patient to "
                "train on. Set them to shares that sum to less than 1."
            )

    @property
    def train(self) -> float:
        """Share of patients in train."""
        return 1 - self.valid - self.test

    @property
    def left_out(self) -> tuple[str, ...]:
        """Splits that no patient comes into."""
        return tuple(name for name in ("valid", "test") if getattr(self, name) == 0)


def name_hash_rule(seed: int, shares: SplitShares) -> str:
    """Name the split by a hash: two equal names never disagree on a patient.

    >>> name_hash_rule(1, SplitShares(test=0.25))
    'hash of patient, seed 1, 65/10/25'
    """
    per_cent = (f"{100 * share:.12g}" for share in (shares.train, shares.valid, shares.test))
    return f"hash of patient, seed {seed}, {'/'.join(per_cent)}"


def parse_hash_rule(rule: str) -> tuple[int, SplitShares] | None:
    """Read seed and shares from what `name_hash_rule` wrote; None where it is another rule.

    >>> parse_hash_rule("hash of patient, seed 1, 65/10/25")
    (1, SplitShares(valid=0.1, test=0.25))
    """
    found = _RULE.fullmatch(rule)
    if found is None:
        return None
    try:
        return int(found[1]), SplitShares(float(found[2]) / 100, float(found[3]) / 100)
    except (ValueError, SettingsError):
        return None
