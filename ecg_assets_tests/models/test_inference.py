from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Event, get_ident

import numpy as np
import pytest
import torch

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.errors import SettingsError, SpecMismatch
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.device import choose_device
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.scoring import (
    cut_segments,
    predict_logits,
    predict_records,
    read_ahead,
    read_segments,
    run_model,
)
from ecg_assets.preprocess.z_score import integer_scales
from ecg_assets_tests.models.toy_recordings import RATE, SPEC, VOCABULARY, toy_manifest, toy_signals


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return toy_manifest(11)


@pytest.fixture(scope="module")
def signals(manifest: Manifest) -> SignalCache:
    return toy_signals(manifest)


def _trained(n_channels: int) -> TrainedModel:
    torch.manual_seed(0)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=n_channels, n_labels=2))
    # A random head answers near 0.5 everywhere; spread the scores.
    torch.nn.init.normal_(model.head.weight, std=2.0)
    return TrainedModel(model, SPEC, VOCABULARY)


@pytest.mark.parametrize("n_channels", [1, 12])
def test_each_record_scores_as_if_it_stood_alone(
    n_channels: int, manifest: Manifest, signals: SignalCache
) -> None:
    trained = _trained(n_channels)
    rows = np.array([7, 0, 3, 10, 5])
    found = predict_records(trained, manifest, signals, rows, device="cpu", batch_size=2)
    for i, row in enumerate(rows):
        segments, _ = signals.segments(np.array([row]), SPEC)
        repeated = torch.from_numpy(np.concatenate([segments] * n_channels, axis=1))
        with torch.inference_mode():
            probability = trained.model.eval()(repeated).logits.sigmoid().numpy()
        expected = [probability[:, 0].mean(), probability[:, 1].max()]
        np.testing.assert_allclose(found.score[i], expected, rtol=0, atol=1e-5)
        assert found.record_ids[i] == f"record_{row:04}"
        assert found.subject_ids[i] == f"patient_{row:04}"
        np.testing.assert_array_equal(found.target[i], manifest.targets[row])
    assert np.ptp(found.score) > 0.1


def test_recordings_of_different_length_keep_their_own_segments(manifest: Manifest) -> None:
    long, short = toy_signals(manifest), toy_signals(manifest, n_samples=450)
    samples = np.concatenate([long.samples[:600], short.samples[450:900]])
    mixed = SignalCache(
        long.folder, ("I",), samples, np.array([0, 600, 1050]), np.full(2, float(RATE))
    )
    trained = _trained(1)
    both = predict_records(trained, manifest, mixed, np.array([0, 1]), device="cpu")
    alone = predict_records(trained, manifest, short, np.array([1]), device="cpu")
    np.testing.assert_allclose(both.score[1], alone.score[0], rtol=0, atol=1e-5)


def test_nothing_to_predict_gives_an_empty_result(manifest: Manifest, signals: SignalCache) -> None:
    found = predict_records(_trained(1), manifest, signals, np.array([], int), device="cpu")
    assert found.score.shape == (0, 2)


def test_bf16_scores_stay_near_fp32_scores(manifest: Manifest, signals: SignalCache) -> None:
    rows, trained = np.arange(11), _trained(1)
    full = predict_records(trained, manifest, signals, rows, device="cpu")
    half = predict_records(trained, manifest, signals, rows, device="cpu", precision="bf16")
    np.testing.assert_allclose(half.score, full.score, rtol=0, atol=0.05)
    assert not np.array_equal(half.score, full.score)


def test_data_of_another_spec_or_other_labels_is_refused(
    manifest: Manifest, signals: SignalCache
) -> None:
    rows = np.arange(3)
    other = replace(manifest, spec=replace(SPEC, segment_s=0.4))
    with pytest.raises(SpecMismatch, match="Signal spec"):
        predict_records(_trained(1), other, signals, rows, device="cpu")
    names = replace(VOCABULARY, names=("inverted", "fast"))
    with pytest.raises(SpecMismatch, match="Label vocabulary"):
        predict_records(
            _trained(1), replace(manifest, vocabulary=names), signals, rows, device="cpu"
        )


def test_a_recording_without_a_whole_segment_is_refused(manifest: Manifest) -> None:
    short = toy_signals(manifest, n_samples=250)
    with pytest.raises(SpecMismatch, match="3 of 3 recordings have no whole segment"):
        predict_records(_trained(1), manifest, short, np.arange(3), device="cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(SettingsError, match="allowed: auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(SettingsError, match="torch sees"):
        choose_device("cuda:99")


def test_fp16_on_a_cpu_is_refused(manifest: Manifest, signals: SignalCache) -> None:
    with pytest.raises(SettingsError, match="fp16"):
        predict_records(
            _trained(1), manifest, signals, np.arange(2), device="cpu", precision="fp16"
        )


def test_segments_cut_on_a_device_are_those_that_are_read_bit_for_bit(
    manifest: Manifest, signals: SignalCache
) -> None:
    """Recordings of one and of two segments, as integers whose scales were measured."""
    lengths = np.where(np.arange(11) % 3 == 0, 450, 600)
    records = [signals.samples[600 * i : 600 * i + n] for i, n in enumerate(lengths)]
    stored = replace(
        signals,
        samples=np.concatenate(records),
        offsets=np.append(0, np.cumsum(lengths)),
        scales=np.stack([integer_scales(record[None]) for record in records]),
        scaled_part=(0, SPEC.record_samples),
    )
    rows = np.array([7, 0, 3, 10, 5])
    found = cut_segments(stored, rows, SPEC, torch.device("cpu"))
    np.testing.assert_array_equal(found.numpy(), read_segments(stored, rows, SPEC))
    assert len(found) == 8
    with pytest.raises(SpecMismatch, match=r"5 of 5 recordings have no whole segment of 1\.2 s"):
        cut_segments(
            replace(stored, offsets=np.arange(12) * 300), rows, replace(SPEC, segment_s=1.2),
            torch.device("cpu"),
        )  # fmt: skip


def test_logits_do_not_depend_on_who_reads_the_batches(
    manifest: Manifest, signals: SignalCache
) -> None:
    trained, rows, cpu = _trained(1), np.arange(11), torch.device("cpu")
    trained.model.eval()
    found = predict_logits(trained, manifest, signals, rows, device="cpu", batch_size=4)
    one_by_one = [
        run_model(trained, read_segments(signals, rows[at : at + 4], SPEC), device=cpu)[1]
        for at in (0, 4, 8)
    ]
    np.testing.assert_array_equal(found, np.concatenate(one_by_one))


def test_the_next_batch_is_read_while_one_is_computed() -> None:
    second_is_read, readers = Event(), set()

    def read() -> Iterator[int]:
        for number in range(5):
            readers.add(get_ident())
            if number == 1:
                second_is_read.set()
            yield number

    found = []
    for number in read_ahead(read()):
        assert second_is_read.wait(timeout=30)
        found.append(number)
    assert found == [0, 1, 2, 3, 4]
    assert len(readers) == 1
    assert get_ident() not in readers


def test_what_goes_wrong_while_reading_ahead_arrives() -> None:
    def read() -> Iterator[int]:
        yield 1
        raise SpecMismatch("two")

    found = read_ahead(read())
    assert next(found) == 1
    with pytest.raises(SpecMismatch, match="two"):
        next(found)
