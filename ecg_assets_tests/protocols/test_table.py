"""A protocol's table: our numbers by either rules beside the paper's, and models two by two."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.labels import LabelVocabulary
from ecg_assets.metrics.published_intervals import Resampling, Undefined, Unit
from ecg_assets.models.predictions import Predictions
from ecg_assets.protocols.cells import StoredCell, measure
from ecg_assets.protocols.protocol import Protocol, Rules
from ecg_assets.protocols.table import (
    INSIDE,
    MISSING,
    NOT_COUNTED,
    NOT_PUBLISHED,
    OTHER_DATA,
    OUTSIDE,
    compare,
    tabulate,
    tabulate_comparisons,
)
from ecg_assets_tests.protocols.made_cells import (
    N_PATIENTS,
    N_RECORDS,
    make_cell,
    make_cells,
    make_protocol,
    make_scores,
)

STRENGTHS = {"good": 3.0, "fair": 1.5, "poor": 0.5}


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return make_protocol()


@pytest.fixture(scope="module")
def table(protocol: Protocol) -> pd.DataFrame:
    cells = make_cells(protocol, {"good": 3.0, "fair": 1.5})
    return tabulate(protocol, cells, n_resamples=100, seed=1)


def _rows(table: pd.DataFrame, *keys: str) -> list[dict[str, Any]]:
    """Give the rows of a task, model, mode and rules."""
    names = ("task", "model", "mode", "rules")
    records: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in table.to_dict("records")
    ]
    return [row for row in records if tuple(row[name] for name in names) == keys]


def _row(table: pd.DataFrame, *keys: str) -> dict[str, Any]:
    (row,) = _rows(table, *keys)
    return row


def test_each_number_is_the_mean_auroc_of_its_own_scores(
    protocol: Protocol, table: pd.DataFrame
) -> None:
    cells = make_cells(protocol, {"good": 3.0, "fair": 1.5})
    for (cell, rules), stored in cells.items():
        row = _row(table, cell.task, cell.model, cell.mode, rules)
        if not isinstance(stored, StoredCell):
            assert row["verdict"] == MISSING
            assert math.isnan(row["value"])
            assert row["note"] == "nobody trained it"
            continue
        p = stored.predictions
        expected = np.mean([roc_auc_score(p.target[:, k], p.score[:, k]) for k in (0, 1)])
        assert row["value"] == pytest.approx(expected, abs=1e-12)
        assert (row["n"], row["n_patients"], row["n_labels"]) == (N_RECORDS, N_PATIENTS, 2)
        assert row["n_pos"] == p.target.sum()


def test_the_papers_number_stands_in_its_cell_alone_and_is_judged(table: pd.DataFrame) -> None:
    good = _row(table, "super", "good", "full", Rules.CORRECTED)
    assert (good["published"], good["verdict"]) == (0.9, INSIDE if _holds(good, 0.9) else OUTSIDE)
    fair = _row(table, "super", "fair", "full", Rules.CORRECTED)
    assert (fair["published"], fair["verdict"]) == (0.2, OUTSIDE)
    assert fair["difference"] == pytest.approx(fair["value"] - 0.2)
    other = _row(table, "super", "good", "linear", Rules.CORRECTED)
    assert math.isnan(other["published"])
    assert other["verdict"] == NOT_PUBLISHED
    poor = _row(table, "sub", "poor", "full", Rules.CORRECTED)
    assert (poor["published"], poor["published_low"], poor["verdict"]) == (0.7, 0.3, MISSING)


def _holds(row: Any, value: float) -> bool:
    return bool(row["low"] <= value <= row["high"])


def test_a_task_of_the_pretraining_is_marked(table: pd.DataFrame) -> None:
    assert _row(table, "sub", "good", "full", Rules.CORRECTED)["in_pretraining"]
    assert not _row(table, "super", "good", "full", Rules.CORRECTED)["in_pretraining"]
    assert not _row(table, "sub", "fair", "full", Rules.CORRECTED)["in_pretraining"]


def test_a_published_number_outside_its_own_interval_is_said() -> None:
    protocol = make_protocol()
    cells = make_cells(protocol, STRENGTHS)
    table = tabulate(protocol, cells, n_resamples=20, seed=1)
    outside = "The published number lies outside its own interval."
    assert outside in _row(table, "sub", "poor", "full", Rules.CORRECTED)["note"]
    assert outside not in _row(table, "super", "good", "full", Rules.CORRECTED)["note"]


def test_numbers_of_other_recordings_are_not_judged() -> None:
    tasks = {"super": {"title": "Super", "source": "ptb-xl", "label_set": "ptb-xl-super-drop"}}
    verdicts = {}
    for expected in (N_RECORDS, 2158):
        tasks["super"]["published_test_records"] = expected  # type: ignore[assignment]
        models = {"good": {"preset": "tiny", "from_scratch": True}}
        published = [{"task": "super", "model": "good", "mode": "full", "value": 0.2}]
        protocol = make_protocol(tasks=tasks, models=models, published=published)
        table = tabulate(protocol, make_cells(protocol, STRENGTHS), n_resamples=50, seed=1)
        verdicts[expected] = _row(table, "super", "good", "full", Rules.CORRECTED)["verdict"]
    assert verdicts == {N_RECORDS: OUTSIDE, 2158: OTHER_DATA}


def test_a_verdict_on_recordings_that_nobody_counted_says_so(table: pd.DataFrame) -> None:
    """A made dataset would be judged as the paper's own."""
    assert NOT_COUNTED in _row(table, "super", "good", "full", Rules.CORRECTED)["note"]
    assert pd.isna(_row(table, "super", "good", "linear", Rules.CORRECTED)["note"])


def test_each_column_has_the_interval_of_its_rules(protocol: Protocol) -> None:
    """As published draws recordings, corrected patients: of paired recordings the latter differ."""
    cells = make_cells(protocol, STRENGTHS)
    table = tabulate(protocol, cells, n_resamples=200, seed=3)
    scores = make_scores(3.0, 100)
    found = {rules: _row(table, "super", "good", "full", rules)["low"] for rules in Rules}
    rule = {
        Rules.AS_PUBLISHED: Resampling(Unit.RECORDING, 1000),
        Rules.CORRECTED: Resampling(Unit.PATIENT, 200, undefined=Undefined.REDRAW),
    }
    for rules in Rules:
        expected = measure([scores], "macro_auroc", rule[rules], seed=3)
        assert found[rules] == expected.low
    assert found[Rules.AS_PUBLISHED] != found[Rules.CORRECTED]


def test_several_seeds_are_a_mean_with_its_deviation_and_a_row_each() -> None:
    protocol = make_protocol(seeds=[1, 2, 3])
    cells = make_cells(protocol, {"good": 3.0})
    table = tabulate(protocol, cells, n_resamples=50, seed=1)
    rows = {row["seed"]: row for row in _rows(table, "super", "good", "full", Rules.CORRECTED)}
    assert list(rows) == ["all", "1", "2", "3"]
    single = [rows[seed]["value"] for seed in ("1", "2", "3")]
    every = rows["all"]
    assert every["value"] == pytest.approx(np.mean(single))
    assert every["sd"] == pytest.approx(np.std(single, ddof=1))
    assert every["n_seeds"] == 3
    assert every["low"] < every["value"] < every["high"]


def test_a_missing_seed_is_named_beside_the_mean_of_the_others() -> None:
    protocol = make_protocol(seeds=[1, 2])
    cells = make_cells(protocol, STRENGTHS)
    lacking = next(c for c in protocol.cells if c[:3] == ("good", "full", "super") and c.seed == 2)
    cells |= {(lacking, rules): make_cells(protocol, {})[lacking, rules] for rules in Rules}
    table = tabulate(protocol, cells, n_resamples=20, seed=1)
    row = _rows(table, "super", "good", "full", Rules.CORRECTED)[0]
    assert (row["seed"], row["n_seeds"]) == ("all", 1)
    assert "Seed 2 is missing: nobody trained it." in row["note"]
    # Both rules have a row of every seed, so that they stand side by side.
    seeds = {r: [x["seed"] for x in _rows(table, "super", "good", "full", r)] for r in Rules}
    assert all(found == ["all", "1", "2"] for found in seeds.values())
    assert _rows(table, "super", "good", "full", Rules.CORRECTED)[2]["verdict"] == MISSING


def test_seeds_of_other_recordings_are_refused() -> None:
    one, other = make_scores(1.0, 1), make_scores(1.0, 2, target_seed=5)
    with pytest.raises(SchemaError, match="other recordings or labels"):
        measure([one, other], "macro_auroc", Resampling(n_resamples=10), seed=1)


def _without(scores: Predictions, label: int) -> Predictions:
    """Take one of the two labels away, as a part of the patients may not teach it."""
    kept = 1 - label
    return replace(
        scores,
        vocabulary=LabelVocabulary((scores.vocabulary.names[kept],), ("mean",)),
        target=scores.target[:, [kept]],
        score=scores.score[:, [kept]],
    )


def test_seeds_that_lack_a_label_are_measured_on_those_that_all_have() -> None:
    """1 % of the patients may have no positive of a label with one seed, and some with another."""
    protocol = make_protocol(seeds=[1, 2])
    cells = make_cells(protocol, {"good": 3.0, "fair": 1.5})
    cell = next(c for c in protocol.cells if c == ("good", "full", "super", 2))
    whole = cells[cell, Rules.CORRECTED]
    assert isinstance(whole, StoredCell)
    cells[cell, Rules.CORRECTED] = replace(
        whole,
        facts=replace(whole.facts, left_out={"MI": "no positive record"}),
        predictions=_without(whole.predictions, 0),
    )
    table = tabulate(protocol, cells, n_resamples=20, seed=1)
    rows = {row["seed"]: row for row in _rows(table, "super", "good", "full", Rules.CORRECTED)}
    assert {seed: row["n_labels"] for seed, row in rows.items()} == {"all": 1, "1": 2, "2": 1}
    first = cells[cell._replace(seed=1), Rules.CORRECTED]
    assert isinstance(first, StoredCell)
    of_norm = [
        roc_auc_score(p.target[:, k], p.score[:, k])
        for p, k in ((first.predictions, 1), (_without(whole.predictions, 0), 0))
    ]
    assert rows["all"]["value"] == pytest.approx(np.mean(of_norm))
    assert "MI: no positive record" in rows["all"]["note"]
    pair = compare(protocol, cells, n_resamples=0, n_permutations=0, seed=1)[0]
    assert len(pair.tasks["super"].comparison.labels) == 1
    assert len(pair.tasks["sub"].comparison.labels) == 2


def test_models_are_compared_by_the_seeds_that_all_have() -> None:
    """The mean score of two seeds is better than that of one."""
    protocol = make_protocol(seeds=[1, 2])
    cells = make_cells(protocol, {"good": 1.0, "fair": 1.0})
    lacking = next(c for c in protocol.cells if c == ("fair", "full", "super", 2))
    cells[lacking, Rules.CORRECTED] = MissingCell("not evaluated yet", "")
    (found, *_) = compare(protocol, cells, n_resamples=0, n_permutations=0, seed=1)
    values = []
    for model in ("good", "fair"):
        stored = cells[lacking._replace(model=model, seed=1), Rules.CORRECTED]
        assert isinstance(stored, StoredCell)
        p = stored.predictions
        values.append(np.mean([roc_auc_score(p.target[:, k], p.score[:, k]) for k in (0, 1)]))
    assert found.tasks["super"].comparison.values == pytest.approx(values)


def test_a_label_that_the_test_split_cannot_measure_is_named_and_counted_by_half_alone() -> None:
    for undefined, n_labels in (("undefined", 1), ("half", 2)):
        interval = {"unit": "recording", "n_resamples": 10, "undefined": undefined}
        protocol = make_protocol(as_published={"interval": interval})
        cells = make_cells(protocol, {"good": 3.0})
        for key, stored in cells.items():
            if isinstance(stored, StoredCell):
                target = stored.predictions.target.copy()
                target[:, 0] = 0
                predictions = replace(stored.predictions, target=target)
                cells[key] = replace(stored, predictions=predictions)
        table = tabulate(protocol, cells, n_resamples=10, seed=1)
        row = _row(table, "super", "good", "full", Rules.AS_PUBLISHED)
        assert row["n_labels"] == n_labels
        row = _row(table, "super", "good", "full", Rules.CORRECTED)
        assert row["n_labels"] == 1
        assert "first MI: one class only in the test split" in row["note"]


def test_a_cell_of_fewer_leads_than_the_papers_says_so(protocol: Protocol) -> None:
    cells = make_cells(protocol, {"good": 3.0})
    for key, stored in cells.items():
        if isinstance(stored, StoredCell) and key[0].mode == "full":
            data = stored.facts.data | {"leads": ["I"]}
            cells[key] = replace(stored, facts=replace(stored.facts, data=data))
    table = tabulate(protocol, cells, n_resamples=0, seed=1)
    notes = [
        str(_row(table, "super", "good", mode, Rules.CORRECTED)["note"])
        for mode in ("full", "linear")
    ]
    assert "asked to read I alone" in notes[0]
    assert "asked to read" not in notes[1]


def test_few_patients_have_no_interval_and_the_reason_is_said() -> None:
    scores = make_scores(1.0, 1)
    few = type(scores)(
        scores.record_ids[:25],
        scores.subject_ids[:25],
        scores.vocabulary,
        scores.target[:25],
        scores.score[:25],
    )
    found = measure([few], "macro_auroc", Resampling(), seed=1)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert "25 patients" in found.reason
    asked = measure([scores], "macro_auroc", Resampling(Unit.RECORDING, 0), seed=1)
    assert asked.reason == "no interval: no resamples are asked for"


def test_models_are_compared_by_mode_on_shared_recordings_and_ranked(protocol: Protocol) -> None:
    cells = make_cells(protocol, STRENGTHS)
    compared = compare(protocol, cells, n_resamples=100, n_permutations=200, seed=1)
    assert [one.mode for one in compared] == ["full", "linear"]
    for one in compared:
        assert one.ranked is not None
        assert one.ranked.models == ("good", "fair", "poor")
        assert list(one.ranked.ranks.mean_ranks) == [1.0, 2.0, 3.0]
        # One task alone was in no pre-training: both are ranked, and it is said.
        assert (one.ranked.tasks, one.ranked.seen) == (("super", "sub"), ("sub",))
    table = tabulate_comparisons(compared)
    assert len(table) == 2 * 2 * 3
    pairs = [row for row in table.to_dict("records") if row["task"] == "super"]
    first = [row for row in pairs if row["mode"] == "full"][1]
    assert (first["first"], first["second"]) == ("good", "poor")
    good, poor = (
        next(
            stored.predictions
            for (cell, rules), stored in cells.items()
            if cell[:3] == (model, "full", "super")
            and rules is Rules.CORRECTED
            and isinstance(stored, StoredCell)
        )
        for model in ("good", "poor")
    )
    difference = np.mean(
        [
            roc_auc_score(good.target[:, k], good.score[:, k])
            - roc_auc_score(poor.target[:, k], poor.score[:, k])
            for k in (0, 1)
        ]
    )
    assert first["difference"] == pytest.approx(difference)
    assert first["low"] > 0
    assert first["p_value"] == pytest.approx(1 / 201)
    assert first["p_value"] <= first["p_holm"] <= 3 * first["p_value"] + 1e-12


def test_a_deviation_of_the_paper_is_its_column_alone() -> None:
    """ST-MEM's fine-tuning of the comparison never trained the encoder: a linear probe."""
    what = "Its encoder was not in the optimizer."
    deviations = [{"models": ["fair"], "modes": ["full"], "method": "linear-probe", "what": what}]
    protocol = make_protocol(as_published={"deviations": deviations})
    table = tabulate(protocol, make_cells(protocol, STRENGTHS), n_resamples=0, seed=1)
    published = _row(table, "super", "fair", "full", Rules.AS_PUBLISHED)
    corrected = _row(table, "super", "fair", "full", Rules.CORRECTED)
    assert (published["method"], corrected["method"]) == ("linear-probe", "full")
    assert what in published["note"]
    for other in ("good", "poor"):
        assert _row(table, "super", other, "full", Rules.AS_PUBLISHED)["method"] == "full"


def test_a_cell_is_read_as_it_was_written(protocol: Protocol, tmp_path: Any) -> None:
    from ecg_assets.protocols.cells import read_cell, write_cell

    cell = protocol.cells[0]
    stored = make_cell(protocol, cell, Rules.CORRECTED, make_scores(1.0, 1))
    write_cell(tmp_path, cell, Rules.CORRECTED, stored)
    read = read_cell(tmp_path, cell, Rules.CORRECTED)
    assert read is not None
    assert read.facts == stored.facts
    np.testing.assert_array_equal(read.predictions.score, stored.predictions.score)
    assert read_cell(tmp_path, cell, Rules.AS_PUBLISHED) is None


def test_tasks_of_a_pretraining_are_ranked_only_where_no_others_are() -> None:
    task = {"title": "T", "source": "ptb-xl", "label_set": "ptb-xl-super-drop"}
    protocol = make_protocol(tasks=dict.fromkeys(("super", "sub", "form"), task))
    cells = make_cells(protocol, STRENGTHS)
    compared = compare(protocol, cells, n_resamples=20, n_permutations=20, seed=1)
    ranked = compared[0].ranked
    assert ranked is not None
    assert (ranked.tasks, ranked.seen) == (("super", "form"), ("sub",))
    table = tabulate_comparisons(compared)
    marked = table[table["in_pretraining"].notna()]
    assert set(marked["task"]) == {"sub"}
    assert set(marked["in_pretraining"]) == {"good"}
    assert len(marked) == 2 * 2  # with each other model, in each mode


def test_a_model_of_one_task_is_compared_there_and_not_ranked() -> None:
    protocol = make_protocol()
    cells = make_cells(protocol, STRENGTHS)
    for cell, rules in list(cells):
        if (cell.model, cell.task) == ("poor", "sub"):
            cells[cell, rules] = MissingCell("not evaluated yet", "")
    compared = compare(protocol, cells, n_resamples=0, n_permutations=0, seed=1)
    assert compared[0].tasks["super"].models == ("good", "fair", "poor")
    assert compared[0].tasks["sub"].models == ("good", "fair")
    assert compared[0].ranked is None
