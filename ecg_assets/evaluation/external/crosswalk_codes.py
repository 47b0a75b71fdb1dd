"""The codes of each coding, and the concept that each names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecg_assets.labels.codes import load_code_table
from ecg_assets.labels.knowledge import load_knowledge
from ecg_assets.labels.own_labels import own_concept
from ecg_assets.sources.schema import (
    CODE_15,
    CODINGS,
    CONDITION_FOLDER,
    NO_LABEL,
    OWN_LABELS,
    REPORT_TEXT,
    SCP_ECG,
    SNOMED_CT,
)

SOURCE_CODINGS = {
    "mimic-iv-ecg": REPORT_TEXT,
    "synthetic": REPORT_TEXT,
    "physionet-2021": SNOMED_CT,
    "ptb-xl": SCP_ECG,
    "code-15": CODE_15,
    "condition-folders": CONDITION_FOLDER,
    "folder": OWN_LABELS,
}
"""What the reports of each dataset are made of."""

_TABLES = {
    SCP_ECG: "scp_ecg",
    SNOMED_CT: "snomed_ct",
    CODE_15: "code_15",
    CONDITION_FOLDER: "condition_folders",
}
_KINDS = {
    REPORT_TEXT: ("wording", " of report text"),
    SNOMED_CT: ("SNOMED CT code", " of the PhysioNet challenge"),
    SCP_ECG: ("SCP-ECG statement", " of PTB-XL"),
    CODE_15: ("CODE-15 column", ""),
    CONDITION_FOLDER: ("folder", " of condition-folders"),
    OWN_LABELS: ("column", " of labels.csv"),
}


@dataclass(frozen=True)
class Codes:
    """Codes of a coding.

    Attributes
    ----------
    coding
        One of `CODINGS`.
    concepts
        Code to the concept that it names.
    """

    coding: str
    concepts: Mapping[str, str]

    @classmethod
    def of_coding(cls, coding: str, own_labels: Sequence[str] = ()) -> Codes:
        """Read the codes of a coding.

        Raises
        ------
        ValueError
            When the coding is unknown.
        """
        if coding not in CODINGS:
            raise ValueError(f"coding is {coding!r}; expected one of {', '.join(CODINGS)}.")
        if coding == OWN_LABELS:
            return cls(coding, {name: own_concept(name) for name in own_labels})
        if coding == REPORT_TEXT:
            return cls(coding, {name: name for name in load_knowledge().wordings})
        table = load_code_table(_TABLES[coding])
        return cls(coding, {code: c for code, c in table.items() if code != NO_LABEL})

    @property
    def kind(self) -> str:
        """What a code of this coding is called."""
        return _KINDS[self.coding][0]

    @property
    def of(self) -> str:
        """Where such codes stand."""
        return _KINDS[self.coding][1]

    def advice(self, reason: str) -> str:
        """Add what to do to the reason why no code makes a label."""
        if self.coding != OWN_LABELS:
            return reason
        return (
            f"{reason} Columns are read as no concept; name them in the label set's file as "
            "own:<column>."
        )
