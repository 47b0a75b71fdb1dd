from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from ecg_assets.build import TrainLimit
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.settings import VARIABLES, WITHDRAWN, Settings, require_known_variables
from ecg_assets.defs.streams import describe_used
from ecg_assets.errors import SettingsError
from ecg_assets.made_with import LABEL_VOCABULARY
from ecg_assets.preprocess import SignalSpec, preprocess_shard, signal_spec_of_kind
from ecg_assets_tests.defs.graph import run_config_of
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record


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
    with pytest.raises(SettingsError, match="segment_s is -1"):
        _ = Settings().signal_spec


@pytest.mark.parametrize(
    ("text", "start_s", "record_s"),
    [("first", 0.0, 10.0), ("all", 0.0, None), ("0-30", 0.0, 30.0), ("2.5-14.5", 2.5, 12.0)],
)
def test_part_of_a_recording_is_the_first_10_s_or_what_is_said(
    monkeypatch: pytest.MonkeyPatch, text: str, start_s: float, record_s: float | None
) -> None:
    monkeypatch.setenv("ECG_RECORD_PART", text)
    for kind in ("ecg-fm", "ecg-founder"):
        spec = Settings(signal_kind=kind).signal_spec
        assert (spec.start_s, spec.record_s) == (start_s, record_s)
    monkeypatch.setenv("ECG_SEGMENT_S", "12")
    if record_s == 10.0:
        with pytest.raises(SettingsError, match="at most record_s = 10"):
            _ = Settings().signal_spec
    else:
        assert Settings().signal_spec.segment_s == 12


def test_recordings_longer_than_the_part_are_counted_with_a_shard(tmp_path: Path) -> None:
    for name, n_samples in (("a", 5000), ("b", 5001), ("c", 15_000)):
        write_record(tmp_path / name, make_signal(1, n_samples, seed=1))
    tables = preprocess_shard(record_list(["a", "b", "c"]), tmp_path, ["I"])
    found = [describe_used(tables, Settings(record_part=part)) for part in ("first", "0-30", "all")]
    assert [one["records_longer"] for one in found] == [2, 0, 0]
    assert [one["used_of_a_recording"] for one in found] == [
        "the first 10 s",
        "the first 30 s",
        "all of it",
    ]


@pytest.mark.parametrize("text", ["last", "30-10", "5-5", "0-inf", "", "-5-10"])
def test_part_that_cannot_be_is_refused_when_settings_load(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("ECG_RECORD_PART", text)
    with pytest.raises(SettingsError, match=r"ECG_RECORD_PART is .*first, all, or seconds"):
        Settings()


def test_all_leads_of_a_kind_are_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_LEADS", "all")
    assert [Settings(signal_kind=kind).signal_spec.n_channels for kind in ("ecg-fm", "raw")] == [
        12,
        12,
    ]


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [
        ("ECG_SIGNAL_KIND", "ecg-fm.*ecg-founder.*raw"),
        ("ECG_RESAMPLING", "linear.*polyphase"),
        ("ECG_FLAWED_RECORDS", "exclude.*keep"),
        ("ECG_SPLIT", "patients.*folds"),
    ],
)
def test_unknown_word_is_refused_by_naming_the_others(
    monkeypatch: pytest.MonkeyPatch, variable: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, "cubic")
    with pytest.raises(SettingsError, match=f"{variable} is 'cubic'. .*{allowed}"):
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


def test_what_is_no_number_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_SEED", "one")
    with pytest.raises(SettingsError, match=r"ECG_SEED is 'one'\. .*integer"):
        Settings()


@pytest.mark.parametrize("variable", WITHDRAWN)
def test_a_withdrawn_variable_stops_with_where_it_is_set_now(variable: str) -> None:
    with pytest.raises(SettingsError) as error:
        require_known_variables({variable: "x", "ECG_SEED": "1"})
    assert f"{variable} is set, and no longer read. Set {WITHDRAWN[variable]}" in str(error.value)
    require_known_variables({variable: ""})


def test_withdrawn_settings_are_run_configuration_now() -> None:
    """Each sentence names assets and their field as the launchpad has them."""
    definitions = build_definitions()
    for variable, where in WITHDRAWN.items():
        field, of_runs, assets = where.partition(" in the run configuration of ")
        for asset in re.findall(r"\w+_\w+", assets):
            assert field in run_config_of(definitions, asset), (variable, asset)
        assert of_runs or where.startswith("ECG_ALERT")


def test_definitions_do_not_load_with_a_withdrawn_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECG_RESAMPLES", "50")
    with pytest.raises(SettingsError, match="n_resamples in the run configuration"):
        build_definitions()


def test_an_unknown_variable_is_reported_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_PRECISON", "bf16")
    with pytest.warns(UserWarning, match="ECG_PRECISON is set, .* nearest is ECG_PRECISION"):
        build_definitions()


def test_what_is_known_is_not_reported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_known_variables({**VARIABLES, "PATH": "", "ECG_REFERENCE_DATA": "/data"})


def test_alerts_that_go_nowhere_are_found_when_definitions_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECG_ALERT", "slack")
    with pytest.raises(SettingsError, match=r"ECG_ALERT is 'slack'.*docs/reevaluation\.md"):
        build_definitions()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "ECG_PRESET",
            "tinny",
            "no such preset; the nearest is tiny; allowed: .*, tiny, ",
        ),
        ("ECG_PRECISION", "bfloat16", "should be 'fp32', 'bf16' or 'fp16'"),
        ("ECG_DEVICE", "gpu", "Allowed: auto, cpu, cuda, cuda:N"),
        ("ECG_PRETRAINED", "/nowhere/model.pt", "Nothing is there"),
    ],
)
def test_what_would_fail_after_hours_fails_when_definitions_load(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable} is '{value}'.*{message}"):
        build_definitions()


def test_a_signal_kind_may_be_a_file_of_a_spec_s_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "sample_rate_hz: 250\nstride_s: 1.0\nfilter: [{kind: notch, frequency_hz: 60}]\n"
    )
    monkeypatch.setenv("ECG_SIGNAL_KIND", str(path))
    with pytest.raises(
        SettingsError, match=r"mine.yaml gives no signal spec: .*quality is missing"
    ):
        Settings()
    path.write_text("sample_rate_hz: 250\nstride_s: 1.0\nnormalization: none\n")
    spec = Settings(leads=["I"], stored_leads=["I"]).signal_spec
    assert (spec.sample_rate_hz, spec.stride_s, spec.normalization) == (250, 1.0, "none")
    path.write_text("leads: [II, I]\nnormalization: none\n")
    spec = Settings(leads=["I"], stored_leads=["I", "II"]).signal_spec
    assert (spec.leads, spec.n_channels) == (("II", "I"), 2)  # a file's go before ECG_LEADS
    with pytest.raises(SettingsError, match=r"ECG_SIGNAL_KIND asks for \['II'\]"):
        _ = Settings(leads=["I"], stored_leads=["I"]).signal_spec
    monkeypatch.setenv("ECG_SIGNAL_KIND", "mine")
    with pytest.raises(SettingsError, match=r"Allowed: ecg-fm, .* or a .yaml file"):
        Settings()


def test_settings_of_signals_that_do_not_fit_one_another_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("n_channels: 12\n")
    two = Settings(leads=["I", "II"], stored_leads=["I", "II"], signal_kind=str(path))
    long = Settings(leads=["I"], stored_leads=["I"], segment_s=20.0)
    for settings, message in ((two, "n_channels is 12 for 2 leads"), (long, "segment_s is 20")):
        with pytest.raises(SettingsError, match=f"ECG_SIGNAL_KIND, ECG_LEADS, .*: {message}"):
            _ = settings.signal_spec


def test_manifests_are_asked_for_with_the_aggregation_that_the_spec_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As they have it: else the manifests of such a preset would always be out of date."""
    by_label = Settings().manifest_facts()[LABEL_VOCABULARY]
    assert set(by_label["aggregation"]) == {"mean", "max"}
    monkeypatch.setenv("ECG_PRESET", "st-mem-tiny")
    settings = Settings()
    assert settings.signal_spec.aggregation == "mean"
    asked = settings.manifest_facts()[LABEL_VOCABULARY]
    assert asked == {**by_label, "aggregation": ["mean"] * len(by_label["names"])}
    assert settings.label_facts()[LABEL_VOCABULARY] == by_label
