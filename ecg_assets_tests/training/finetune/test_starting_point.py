"""What a model reads before any training, by its folder or for the leads that are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.start import find_spec

TWELVE = SignalSpec(leads=STANDARD_LEADS, n_channels=12, segment_s=10.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint folder of a model of 12 channels that says what it reads."""
    (tmp_path / "config.json").write_text('{"n_channels": 12}', encoding="utf-8")
    (tmp_path / "signal_spec.json").write_text(json.dumps(TWELVE.to_json()), encoding="utf-8")
    return tmp_path


def test_a_folder_reads_what_it_says_and_random_weights_what_is_asked_for(folder: Path) -> None:
    tiny = PRESETS["tiny"]
    assert find_spec(tiny, folder, leads=["I"], resampling="polyphase") == TWELVE
    found = find_spec(tiny, None, leads=["II"], resampling="polyphase")
    assert (found.leads, found.n_channels, found.resampling) == (("II",), 12, "polyphase")
    (folder / "signal_spec.json").unlink()
    assert find_spec(tiny, folder, leads=["II"], resampling="polyphase") == found


def test_a_published_file_reads_the_leads_asked_for_where_their_number_fits(folder: Path) -> None:
    repeated = find_spec(
        PRESETS["tiny"], folder, leads=["I"], resampling="linear", is_published=True
    )
    assert repeated == SignalSpec(leads=("I",), n_channels=12)
    two = find_spec(
        PRESETS["tiny"], folder, leads=["I", "II"], resampling="linear", is_published=True
    )
    assert two == TWELVE
