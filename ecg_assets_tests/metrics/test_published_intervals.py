from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.confusion import sensitivity_within_capacity
from ecg_assets.metrics.intervals import bootstrap_by_patient
from ecg_assets.metrics.published_intervals import (
    EIGHT_MODEL_COMPARISON,
    PTB_XL_BENCHMARK,
    Measure,
    Resampling,
    Undefined,
    Unit,
    macro_interval,
    resample_macro,
)
from ecg_assets_tests.evaluation.simulation import simulate_predictions


def _rare(
    n_labels: int, n_positives: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.intp]]:
    """300 recordings of as many patients, and labels that a model finds well, but few have."""
    generator = np.random.default_rng(1)
    target = np.zeros((300, n_labels), np.uint8)
    for k in range(n_labels):
        target[k * n_positives : (k + 1) * n_positives, k] = 1
    return target, generator.normal(size=target.shape) + 4 * target, np.arange(300)


def _drawn_rows(n: int, n_draws: int, generator: np.random.Generator) -> list[NDArray[np.intp]]:
    return [generator.integers(0, n, n) for _ in range(n_draws)]


def test_published_half_rule_equals_a_loop_with_scikit_learn() -> None:
    target, score, patients = _rare(6, 2)
    rule = replace(EIGHT_MODEL_COMPARISON, n_resamples=200)
    found = macro_interval(target, score, patients, rule, np.random.default_rng(3))
    macros = []
    for rows in _drawn_rows(300, 200, np.random.default_rng(3)):
        pairs = [(target[rows, k], score[rows, k]) for k in range(6)]
        macros.append(np.mean([roc_auc_score(*p) if p[0].any() else 0.5 for p in pairs]))
    expected = np.percentile(macros, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(target, score, average="macro"), abs=1e-12)
    assert found.n_undefined == 0


def test_published_redrawing_rule_equals_a_loop_with_scikit_learn() -> None:
    target, score, patients = _rare(3, 2)
    found = macro_interval(target, score, patients, PTB_XL_BENCHMARK, np.random.default_rng(3))
    macros: list[float] = []
    generator = np.random.default_rng(3)
    n_drawn = 0
    while len(macros) < 100:
        (rows,) = _drawn_rows(300, 1, generator)
        n_drawn += 1
        if target[rows].any(axis=0).all():
            macros.append(roc_auc_score(target[rows], score[rows], average="macro"))
    assert n_drawn > 110  # some were drawn again
    expected = np.percentile(macros, [5, 95])
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.n_undefined == 0


def test_published_half_rule_puts_the_value_outside_its_own_interval() -> None:
    """Ten labels of one recording each: in a resample some four of them count 0.5."""
    target, score, patients = _rare(10)
    generator = np.random.default_rng(0)
    published = macro_interval(target, score, patients, EIGHT_MODEL_COMPARISON, generator)
    assert published.high < published.value
    ours = macro_interval(target, score, patients, Resampling(), generator)
    assert np.isnan([ours.low, ours.high]).all() and ours.n_undefined > 900
    rule = Resampling(undefined=Undefined.REDRAW)
    redrawn = macro_interval(target, score, patients, rule, generator)
    assert redrawn.low < redrawn.value < redrawn.high
    assert ours.value == redrawn.value == published.value


def test_half_rule_counts_a_label_that_the_data_lack() -> None:
    """The published code does so; by the other rules it is in no mean."""
    target, score, patients = _rare(2, 20)
    target[:, 1] = 0
    area = roc_auc_score(target[:, 0], score[:, 0])
    generator = np.random.default_rng(0)
    by_half = macro_interval(target, score, patients, EIGHT_MODEL_COMPARISON, generator)
    assert by_half.value == pytest.approx((area + 0.5) / 2, abs=1e-12)
    assert by_half.low < by_half.value < by_half.high
    for rule in (Resampling(), PTB_XL_BENCHMARK):
        found = macro_interval(target, score, patients, rule, generator)
        assert found.value == pytest.approx(area, abs=1e-12)
        assert found.low < found.value < found.high


def test_our_rule_gives_the_interval_of_an_evaluation() -> None:
    p = simulate_predictions(200, n_labels=4)
    p.target[::3, 1] = NOT_MEASURED
    found = macro_interval(
        p.target, p.score, p.subject_ids, Resampling(n_resamples=200), np.random.default_rng(5)
    )
    expected = bootstrap_by_patient(
        p.target,
        p.score,
        np.full(4, np.nan),
        p.subject_ids,
        n_resamples=200,
        generator=np.random.default_rng(5),
        has_lines=False,
    )
    of_macro = (expected.values[4, 0], expected.low[4, 0], expected.high[4, 0])
    assert (found.value, found.low, found.high) == pytest.approx(of_macro, abs=1e-12)


@pytest.mark.parametrize("measure", [Measure.AUPRC, Measure.SENSITIVITY_WITHIN_CAPACITY])
def test_other_measures_are_resampled_as_they_are_defined(measure: Measure) -> None:
    p = simulate_predictions(150)
    rule = Resampling(Unit.RECORDING, 20)
    values, draws = resample_macro(
        p.target,
        p.score[np.newaxis],
        p.subject_ids,
        rule,
        np.random.default_rng(2),
        measure=measure,
    )
    one = average_precision_score if measure == Measure.AUPRC else sensitivity_within_capacity
    for value, rows in zip(
        [values[0], *draws[:, 0]],
        [np.arange(150), *_drawn_rows(150, 20, np.random.default_rng(2))],
        strict=True,
    ):
        labels = [one(p.target[rows, k], p.score[rows, k]) for k in range(3)]
        assert value == pytest.approx(np.mean(labels), abs=1e-12)


def test_a_label_that_cannot_be_redrawn_gives_no_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ecg_assets.metrics.published_intervals.MOST_TRIES", 1)
    target, score, patients = _rare(3)
    found = macro_interval(target, score, patients, PTB_XL_BENCHMARK, np.random.default_rng(0))
    assert found.n_undefined > 50
    assert np.isnan([found.low, found.high]).all()


def test_rule_is_given_by_names_as_a_file_holds_them() -> None:
    rule = Resampling("recording", 100, 90, "redraw")  # type: ignore[arg-type]
    assert rule == PTB_XL_BENCHMARK


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"unit": "beat"}, "'beat'"),
        ({"undefined": "zero"}, "'zero'"),
        ({"n_resamples": -1}, "n_resamples is -1"),
        ({"n_resamples": 65536}, "n_resamples is 65536"),
        ({"percent": 0.0}, "percent is 0.0"),
        ({"percent": 100}, "percent is 100"),
    ],
)
def test_what_is_no_rule_is_refused(field: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resampling(**field)  # type: ignore[arg-type]


def test_wrong_arrays_are_refused() -> None:
    target, score, patients = _rare(2)
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"scores \(1, 300, 1\)"):
        macro_interval(target, score[:, :1], patients, Resampling(), generator)
    with pytest.raises(ValueError, match="299 patients"):
        macro_interval(target, score, patients[1:], Resampling(), generator)
    with pytest.raises(ValueError, match="auprc needs another rule"):
        macro_interval(
            target, score, patients, EIGHT_MODEL_COMPARISON, generator, measure=Measure.AUPRC
        )
    score[0, 0] = np.nan
    with pytest.raises(ValueError, match="1 NaN"):
        macro_interval(target, score, patients, Resampling(), generator)
