"""What stands first on an asset's page: the numbers that one looks for."""

from __future__ import annotations

import pandas as pd

from ecg_assets.defs.show import compared, count_records, headline
from ecg_assets.defs.tables import table_result
from ecg_assets.evaluation import Difference, compare_predictions
from ecg_assets.split import SPLIT
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated
from ecg_assets_tests.evaluation.simulation import blur, simulate_predictions


def test_a_tables_schema_is_shown_last() -> None:
    result = table_result("split", SPLIT.empty(), {"counts": 0})
    assert list(result.metadata or {}) == ["dagster/row_count", "counts", "dagster/column_schema"]


def test_a_report_starts_with_its_headline_numbers() -> None:
    result = evaluate_simulated(simulate_predictions(120))
    shown = headline(result)
    low, high = result.macro["auroc_low"], result.macro["auroc_high"]
    expected = f"{result.macro['auroc']:.3f} [{low:.3f}, {high:.3f}]"
    assert next(iter(shown)) == "macro AUROC" and shown["macro AUROC"] == expected
    assert (shown["records"], shown["patients"]) == (120, result.n_patients)
    assert shown["labels_defined"] == "3 of 3"


def test_a_report_says_how_it_stands_against_the_champion() -> None:
    champion = simulate_predictions(400)
    table = compare_predictions(blur(champion, noise=1), champion, n_resamples=50, seed=0)
    shown = compared(Difference("best", "best", None, 2, table, 50, 0), "")
    assert (shown["champion"], shown["verdict"]) == ("best", "worse")
    assert shown["macro AUROC minus the other's"].startswith("−0.")
    assert compared(None, "it is alone") == {"compared_with": "nothing: it is alone"}


def test_a_record_list_starts_with_its_totals() -> None:
    records = pd.DataFrame({"subject_id": ["1", "1", "2"], "shard": ["a", "b", "b"]})
    assert count_records(records) == {"records": 3, "patients": 2, "shards": 2}
