from __future__ import annotations

import pytest

from ecg_assets.preprocess import SIGNAL_KINDS, STANDARD_LEADS, SignalSpec, signal_spec_of_kind


@pytest.mark.parametrize("kind", SIGNAL_KINDS)
@pytest.mark.parametrize("resampling", ["linear", "polyphase"])
def test_spec_of_each_kind_is_itself_again_from_json(kind: str, resampling: str) -> None:
    spec = signal_spec_of_kind(kind, leads=["II", "V1"], resampling=resampling)
    assert SignalSpec.from_json(spec.to_json()) == spec
    assert (spec.leads, spec.n_channels, spec.resampling) == (("II", "V1"), 2, resampling)


def test_kinds_differ_in_filter_normalization_segment_and_channels() -> None:
    specs = [signal_spec_of_kind(kind) for kind in SIGNAL_KINDS]
    found = [(spec.filter, spec.normalization, spec.segment_s, spec.n_channels) for spec in specs]
    assert found == [
        ("none", "z-score-per-lead", 5.0, 12),
        ("ecg-founder", "z-score-all-leads", 10.0, 1),
        ("none", "none", 5.0, 1),
    ]
    assert len(set(specs)) == 3
    assert signal_spec_of_kind("ecg-founder", segment_s=5.0).segment_s == 5.0
    assert signal_spec_of_kind("ecg-founder", leads=STANDARD_LEADS).n_channels == 12


def test_only_the_default_is_made_from_stored_integers_alone() -> None:
    needing = [kind for kind in SIGNAL_KINDS if signal_spec_of_kind(kind).needs_millivolts]
    assert needing == ["ecg-founder", "raw"]


def test_unknown_kind_is_refused_by_naming_the_others() -> None:
    with pytest.raises(ValueError, match=r"'ecg-lfm'; allowed: .*ecg-fm.*ecg-founder.*raw"):
        signal_spec_of_kind("ecg-lfm")


def test_spec_stored_before_there_was_a_choice_is_linear() -> None:
    stored = SignalSpec(segment_s=2.5).to_json()
    del stored["resampling"]
    assert SignalSpec.from_json(stored) == SignalSpec(segment_s=2.5, resampling="linear")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"filter": "ecg"}, "filter is 'ecg'; allowed"),
        ({"normalization": "min-max"}, "normalization is 'min-max'; allowed"),
        ({"resampling": "cubic"}, "resampling is 'cubic'; allowed"),
        ({"filter": "ecg-founder", "sample_rate_hz": 100}, "must be above 100"),
    ],
)
def test_spec_that_cannot_be_followed_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignalSpec.from_json({**SignalSpec().to_json(), **fields})
