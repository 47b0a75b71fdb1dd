"""A request to fine-tune with fairseq-signals itself, in its own interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_assets.errors import SettingsError
from ecg_assets.finetune.fairseq_call import FairseqOptions
from ecg_assets.finetune.fairseq_probe import FairseqInstall
from ecg_assets.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.lineage import fingerprint_file

FAIRSEQ_SIGNALS = "fairseq-signals"
"""Name of this trainer in settings and requests."""


@dataclass(frozen=True, kw_only=True)
class FairseqRequest(FinetuneRequest):
    """Train this recipe with fairseq-signals; everything else is as in `FinetuneRequest`.

    Its `pretrained` is a .pt file.

    Attributes
    ----------
    options
        What the recipe and the seed become in its call.
    data_folder
        Holds train.tsv, valid.tsv, test.tsv and y.npy.
    install
        The interpreter that runs it.
    """

    options: FairseqOptions
    data_folder: Path
    install: FairseqInstall

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the trained model; the interpreter's versions stand in run.json."""
        options = self.options.to_json()
        del options["n_workers"]
        return {**super().identity, "trainer": FAIRSEQ_SIGNALS, "options": options}

    @property
    def checkpoint_id(self) -> str:
        """Name of the checkpoint's folder."""
        return f"{self.preset}-fairseq-{self.fingerprint[:12]}"

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `from_json` reads them back."""
        return {
            **super().to_json(),
            "options": self.options.to_json(),
            "data_folder": str(self.data_folder),
            "install": self.install.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FairseqRequest:
        """Build a request from `to_json`'s value."""
        return super().from_json(
            {
                **value,
                "options": FairseqOptions.from_json(value["options"]),
                "data_folder": Path(value["data_folder"]),
                "install": FairseqInstall.from_json(value["install"]),
            }
        )


def fingerprint_pretrained(pretrained: str) -> dict[str, str]:
    """Give the input that the .pt file is, for a request's `inputs`.

    Raises
    ------
    SettingsError
        When there is none, or it is a folder: fairseq-signals reads its own files only.
    """
    path = Path(pretrained)
    if not pretrained or not path.is_file():
        raise SettingsError(
            f"ECG_PRETRAINED is {pretrained!r}; fairseq-signals starts from a .pt file of its own, "
            "e.g. ECG-FM's mimic_iv_ecg_physionet_pretrained.pt. Set ECG_PRETRAINED (or "
            "pretrained in the run's configuration) to one, or set ECG_TRAINER=native."
        )
    return {PRETRAINED_INPUT: fingerprint_file(path)}
