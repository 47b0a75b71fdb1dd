"""Scores with fewer leads: the model itself on the channels that a configuration gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from ecg_assets.build import Manifest, SignalCache, build_manifest
from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation.external.labels import restrict
from ecg_assets.evaluation.predict import predict_checkpoint, predict_lead_sets, predict_some_labels
from ecg_assets.labels import (
    ECG_FM_LABEL_SET,
    ECG_FM_LABELS,
    LabelSet,
    LabelVocabulary,
    label_records,
)
from ecg_assets.models import load_trained
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec, signal_spec_of_kind
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.store import SourceStore
from ecg_assets_tests.evaluation.external.stored_cohort import store_source

REPORTS = {"a": ["AFIB 0"], "b": ["SR 0"], "c": ["SBRAD 0"]}
PER_LEAD = SignalSpec(leads=STANDARD_LEADS)
ALL_LEADS_TOGETHER = signal_spec_of_kind("ecg-founder", leads=STANDARD_LEADS)


class _Stored:
    """Three recordings of twelve leads and a model of twelve channels."""

    def __init__(self, folder: Path, spec: SignalSpec) -> None:
        self.stored: SourceStore = store_source(
            folder, "ptb-xl", REPORTS, SCP_ECG, leads=STANDARD_LEADS
        )
        self.manifest: Manifest = build_manifest(
            self.stored.read_table(RECORD_LIST),
            label_records(
                self.stored.read_table(MACHINE_REPORTS), label_set=ECG_FM_LABEL_SET
            ).labels,
            self.stored.read_table(SPLIT),
            self.stored.shards,
            spec=spec,
            vocabulary=ECG_FM_LABELS,
        )
        self.checkpoint = folder / "checkpoint"
        self.checkpoint.mkdir()
        torch.manual_seed(0)
        config = ecg_fm_config("tiny", n_channels=12, n_labels=len(ECG_FM_LABELS))
        save_trained(self.checkpoint, EcgFmForClassification(config), spec, ECG_FM_LABELS)

    def open(self, spec: SignalSpec) -> SignalCache:
        folder = self.stored.root / "cache"
        return SignalCache.open(self.manifest.index, self.stored.shards, spec, folder)

    def predict_lead_sets(self) -> dict[str, Predictions]:
        found, obstacles = predict_lead_sets(
            self.checkpoint,
            self.manifest,
            self.open,
            STANDARD_LEADS,
            device="cpu",
            precision="fp32",
        )
        assert obstacles == {}
        return found


@pytest.fixture(
    scope="module", params=[PER_LEAD, ALL_LEADS_TOGETHER], ids=["ecg-fm", "ecg-founder"]
)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Stored:
    """Recordings whose leads are standardized one by one, or together."""
    return _Stored(tmp_path_factory.mktemp("stored"), request.param)


def test_twelve_leads_are_the_ordinary_predictions(stored: _Stored) -> None:
    rows = np.arange(len(REPORTS))
    ordinary = predict_checkpoint(
        stored.checkpoint,
        stored.manifest,
        stored.open(stored.manifest.spec),
        rows,
        device="cpu",
        precision="fp32",
    )
    found = stored.predict_lead_sets()
    assert list(found) == ["12 leads", "6 limb leads", "2 leads (I, II)", "Lead I × 12"]
    assert np.array_equal(found["12 leads"].score, ordinary.score)
    assert np.array_equal(found["Lead I × 12"].target, ordinary.target)


def test_absent_leads_are_zero_and_do_not_scale_the_others(stored: _Stored) -> None:
    present = replace(stored.manifest.spec, leads=("I", "II"), n_channels=2)
    segments, _ = stored.open(present).segments(np.arange(len(REPORTS)), present)
    channels = np.zeros((len(segments), 12, segments.shape[-1]), np.float32)
    channels[:, :2] = segments
    with torch.inference_mode():
        logits = load_trained(stored.checkpoint).model(torch.from_numpy(channels)).logits
    by_segment = expit(logits.numpy()).reshape(len(REPORTS), -1, len(ECG_FM_LABELS))
    takes_max = np.array(ECG_FM_LABELS.aggregation) == "max"
    expected = np.where(takes_max, by_segment.max(axis=1), by_segment.mean(axis=1))
    found = stored.predict_lead_sets()["2 leads (I, II)"]
    assert np.allclose(found.score, expected, atol=1e-6)


def test_a_label_scores_the_same_alone_as_among_all(stored: _Stored) -> None:
    spec = stored.manifest.spec
    some = build_manifest(
        stored.stored.read_table(RECORD_LIST),
        label_records(
            stored.stored.read_table(MACHINE_REPORTS), label_set=_only("Atrial fibrillation")
        ).labels,
        stored.stored.read_table(SPLIT),
        stored.stored.shards,
        spec=spec,
        vocabulary=_only("Atrial fibrillation").vocabulary,
    )
    signals = stored.open(spec)
    found = predict_some_labels(stored.checkpoint, some, signals, device="cpu", precision="fp32")
    everything = stored.predict_lead_sets()["12 leads"]
    column = ECG_FM_LABELS.names.index("Atrial fibrillation")
    assert np.array_equal(found.score[:, 0], everything.score[:, column])
    assert found.target[:, 0].tolist() == [1, 0, 0]


def test_label_that_the_model_lacks_is_refused(stored: _Stored) -> None:
    spec = stored.manifest.spec
    vocabulary = LabelVocabulary(("Low voltage",), ("mean",))
    some = Manifest(
        stored.manifest.index,
        np.zeros((3, 1), np.uint8),
        vocabulary,
        spec,
        np.ones(1),
        stored.manifest.excluded,
    )
    with pytest.raises(SpecMismatch, match="Low voltage"):
        predict_some_labels(
            stored.checkpoint, some, stored.open(spec), device="cpu", precision="fp32"
        )


def _only(label: str) -> LabelSet:
    """The set of one label."""
    rules = {label: ECG_FM_LABEL_SET.rules[ECG_FM_LABELS.names.index(label)]}
    return restrict(ECG_FM_LABEL_SET, rules)
