"""Which signals which model reads: all families by all kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ecg_assets.errors import CheckpointError, SpecMismatch
from ecg_assets.models.apply import apply_to_shards
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.family import ModelFamily
from ecg_assets.models.saliency import explain_recordings
from ecg_assets.models.scoring import predict_recording, predict_records
from ecg_assets.models.signals import ModelInput, require_readable
from ecg_assets.preprocess import STANDARD_LEADS, ShardDataset, SignalSpec
from ecg_assets.preprocess.signal_spec import SIGNAL_KINDS, signal_spec_of_kind
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY, toy_manifest, toy_signals

OUTSIDE = ModelFamily(
    name="outside",
    title="Outside",
    signal_kind="ecg-fm",
    sample_rate_hz=250,
    sizes={},
    config="",
    classifier="",
    builds="",
)
ALL = {**FAMILIES, OUTSIDE.name: OUTSIDE}
TWELVE = SignalSpec(leads=STANDARD_LEADS)


@pytest.mark.parametrize("leads", [STANDARD_LEADS, ("I",)], ids=["12 leads", "Lead I"])
@pytest.mark.parametrize("kind", SIGNAL_KINDS)
@pytest.mark.parametrize("name", list(ALL))
def test_a_family_reads_its_own_kind_of_signal_and_no_other(
    name: str, kind: str, leads: tuple[str, ...]
) -> None:
    family = ALL[name]
    own = family.signal_spec(leads, segment_s=2.5)
    model = ModelInput(family, own.n_rows, where="random weights")
    require_readable(model, own)
    rate = own.sample_rate_hz
    # No signal of 100 Hz can be filtered at 50 Hz.
    possible = max(rate, 250) if kind == "ecg-founder" else rate
    data = signal_spec_of_kind(kind, leads=own.leads, sample_rate_hz=possible)
    # Whatever a family calls it, mV as they are are one kind.
    is_raw = own.filter == own.normalization == "none" and own.order == data.order
    if kind == family.signal_kind or (kind == "raw" and is_raw):
        require_readable(model, data)
    else:
        with pytest.raises(SpecMismatch, match=f"ECG_SIGNAL_KIND={family.signal_kind}"):
            require_readable(model, data)
    with pytest.raises(SpecMismatch, match=r"sample_rate_hz \(ECG_PRESET\)"):
        require_readable(model, replace(data, sample_rate_hz=rate * 2))


@pytest.mark.parametrize("kind", SIGNAL_KINDS)
@pytest.mark.parametrize("name", list(ALL))
def test_a_checkpoints_own_spec_counts_more_than_its_familys(name: str, kind: str) -> None:
    """Weights that were trained on filtered signals read these, whatever the family does."""
    own = signal_spec_of_kind(kind, leads=STANDARD_LEADS, segment_s=5.0)
    model = ModelInput(ALL[name], 12, own, "checkpoint a")
    for other in SIGNAL_KINDS:
        data = signal_spec_of_kind(other, leads=STANDARD_LEADS, segment_s=10.0)
        if other == kind:
            require_readable(model, data)
            with pytest.raises(SpecMismatch, match=r"They differ in segment_s \(ECG_SEGMENT_S\)\."):
                require_readable(model, data, exactly=True)
        else:
            with pytest.raises(SpecMismatch, match="checkpoint a"):
                require_readable(model, data)


def test_both_sides_are_printed_and_what_to_do() -> None:
    own, data = signal_spec_of_kind("ecg-founder"), signal_spec_of_kind("raw")
    founder = FAMILIES["ecg-founder"]
    with pytest.raises(SpecMismatch) as found:
        require_readable(ModelInput(founder, 1, own, "checkpoint a"), data, where="the data")
    for part in (
        "Signal spec of the data differs",
        "checkpoint a, 1 channels; ECGFounder: {'filter': 'ecg-founder'",
        str(own.to_json()),
        str(data.to_json()),
        "filter (ECG_SIGNAL_KIND), normalization (ECG_SIGNAL_KIND). ",
    ):
        assert part in str(found.value)
    unfiltered = replace(own, filter="none")
    with pytest.raises(SpecMismatch, match="Build manifests with the checkpoint's spec") as found:
        require_readable(ModelInput(founder, 1, unfiltered), own)
    assert "ECG_SIGNAL_KIND=" not in str(found.value)


@pytest.mark.parametrize(
    ("data", "n_channels", "reads"),
    [
        (TWELVE, 12, True),
        (TWELVE, 1, False),
        (SignalSpec(), 12, True),
        (SignalSpec(), 1, True),
        (SignalSpec(), 2, False),
        (SignalSpec(n_channels=1), 12, False),
        (SignalSpec(leads=("I", "II"), n_channels=2), 12, False),
    ],
)
def test_channels_are_those_that_the_spec_can_give(
    data: SignalSpec, n_channels: int, reads: bool
) -> None:
    assert data.can_give(n_channels) == reads
    model = ModelInput(FAMILIES["ecg_fm"], n_channels)
    if reads:
        require_readable(model, data)
        require_readable(replace(model, spec=data))
    else:
        with pytest.raises(SpecMismatch, match=r"leads \(ECG_LEADS\), n_channels"):
            require_readable(model, data)
        with pytest.raises(CheckpointError, match=f"reads {n_channels} channels, its signal spec"):
            require_readable(replace(model, spec=data))


@pytest.mark.parametrize("leads", [STANDARD_LEADS[::-1], (*STANDARD_LEADS[:10], "V6", "V5")])
def test_leads_in_another_order_are_not_a_checkpoint_s(leads: tuple[str, ...]) -> None:
    model = ModelInput(FAMILIES["ecg_fm"], 12, TWELVE)
    with pytest.raises(
        SpecMismatch, match=r"differ in leads \(ECG_LEADS\)\. .* in its order, I,II,"
    ):
        require_readable(model, replace(TWELVE, leads=leads))
    require_readable(replace(model, spec=None), replace(TWELVE, leads=leads))  # random weights
    require_readable(model, SignalSpec(leads=("II",)))  # one lead on all channels


def test_eight_other_leads_are_not_a_checkpoint_s() -> None:
    family = FAMILIES["ecg-jepa"]
    own = family.signal_spec(STANDARD_LEADS)
    with pytest.raises(SpecMismatch, match=r"differ in leads"):
        require_readable(ModelInput(family, 8, own), replace(own, leads=STANDARD_LEADS[:8]))


def _trained(spec: SignalSpec, *, n_channels: int = 12) -> TrainedModel:
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=n_channels, n_labels=2))
    return TrainedModel(model.eval(), spec, VOCABULARY)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: next(apply_to_shards(model, ShardDataset({}))),
        lambda model: predict_recording(model, Path("recording")),
        lambda model: explain_recordings(model, pa.table({}), 0, "attention"),
    ],
    ids=["apply", "recording", "saliency"],
)
def test_a_model_whose_spec_gives_other_channels_is_not_used(
    use: Callable[[TrainedModel], object],
) -> None:
    with pytest.raises(CheckpointError, match="reads 12 channels, its signal spec gives 1"):
        use(_trained(SignalSpec(n_channels=1)))


@pytest.mark.parametrize("change", [{"normalization": "none"}, {"leads": ("II",)}])
def test_a_classifier_predicts_on_its_whole_spec_alone(change: dict[str, object]) -> None:
    manifest = toy_manifest(2)
    other = replace(manifest, spec=replace(SPEC, **change))  # type: ignore[arg-type]
    with pytest.raises(SpecMismatch, match=f"They differ in {next(iter(change))}"):
        predict_records(_trained(SPEC), other, toy_signals(manifest), np.arange(2), device="cpu")
