from __future__ import annotations

import pytest

from ecg_assets.build import TrainLimit
from ecg_assets.defs.resources import Settings
from ecg_assets.errors import SettingsError
from ecg_assets.preprocess import SignalSpec, signal_spec_of_kind


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = ("LEADS", "STORED_LEADS", "SEGMENT_S", "SIGNAL_KIND", "RESAMPLING")
    for name in (*signals, "LABEL_SET", "PRESET"):
        monkeypatch.delenv(f"ECG_{name}", raising=False)


def test_input_is_ecg_fm_s_unless_told_otherwise() -> None:
    assert Settings().signal_spec == SignalSpec()


@pytest.mark.parametrize(
    ("preset", "kind", "label_set"),
    [
        ("tiny", "ecg-fm", "ecg-fm-17"),
        ("ecg-fm-lead-i", "ecg-fm", "ecg-fm-17"),
        ("ecg-founder-six", "ecg-founder", "six-conditions"),
        ("ecg-founder-six-tiny", "ecg-founder", "six-conditions"),
    ],
)
def test_preset_brings_its_signals_and_labels(
    monkeypatch: pytest.MonkeyPatch, preset: str, kind: str, label_set: str
) -> None:
    monkeypatch.setenv("ECG_PRESET", preset)
    settings = Settings()
    assert (settings.signal_kind, settings.label_set) == (kind, label_set)
    assert settings.signal_spec == signal_spec_of_kind(kind)


def test_what_is_set_wins_over_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_PRESET", "ecg-founder-six")
    monkeypatch.setenv("ECG_SIGNAL_KIND", "raw")
    monkeypatch.setenv("ECG_LABEL_SET", "own")
    assert (Settings().signal_kind, Settings().label_set) == ("raw", "own")
    chosen = Settings(signal_kind="ecg-fm", label_set="ecg-fm-17")
    assert (chosen.signal_kind, chosen.label_set) == ("ecg-fm", "ecg-fm-17")


def test_kind_and_resampling_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_SIGNAL_KIND", "ecg-founder")
    monkeypatch.setenv("ECG_RESAMPLING", "polyphase")
    expected = signal_spec_of_kind("ecg-founder", leads=("I",), resampling="polyphase")
    assert Settings().signal_spec == expected
    assert expected.segment_s == 10


def test_length_of_a_segment_can_be_chosen_for_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_SEGMENT_S", "2.5")
    found = [Settings(signal_kind=kind).signal_spec for kind in ("ecg-fm", "ecg-founder")]
    assert [spec.segment_s for spec in found] == [2.5, 2.5]
    monkeypatch.setenv("ECG_SEGMENT_S", "-1")
    with pytest.raises(ValueError, match="segment_s is -1"):
        _ = Settings().signal_spec


def test_all_leads_of_a_kind_are_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_LEADS", "all")
    assert [Settings(signal_kind=kind).signal_spec.n_channels for kind in ("ecg-fm", "raw")] == [
        12,
        12,
    ]


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [("ECG_SIGNAL_KIND", "ecg-fm.*ecg-founder.*raw"), ("ECG_RESAMPLING", "linear.*polyphase")],
)
def test_unknown_word_is_refused_by_naming_the_others(
    monkeypatch: pytest.MonkeyPatch, variable: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, "cubic")
    with pytest.raises(SettingsError, match=f"{variable} is 'cubic'; allowed: .*{allowed}"):
        Settings()


@pytest.mark.parametrize(
    ("text", "limit"),
    [("0", None), ("200", TrainLimit(200, 1)), ("smallest", TrainLimit("smallest", 1))],
)
def test_limit_of_training_recordings_is_a_number_or_smallest(
    monkeypatch: pytest.MonkeyPatch, text: str, limit: TrainLimit | None
) -> None:
    monkeypatch.setenv("ECG_MAX_PER_CONDITION", text)
    assert Settings(seed=1).train_limit == limit


def test_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MAX_PER_CONDITION", "-5")
    with pytest.raises(SettingsError, match="ECG_MAX_PER_CONDITION is '-5'"):
        _ = Settings().train_limit
