"""A study's label counts beside the published ones, from the command line, too.

``python -m ecg_assets.labels.study_counts ptb-xl /data/ptb-xl`` reads a dataset's tables, no
signals, and compares what was published of it (recordings, patients) and of every shipped study of
it; it ends with 1 when any number differs. Of a collection each study counts its own database,
where that is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.known import is_known, is_positive
from ecg_assets.labels.codings import is_code
from ecg_assets.labels.label_set import (
    LabelSet,
    find_study,
    load_label_set,
    resolve_label_set,
)
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.labeler import label_records
from ecg_assets.labels.study import Published, shipped_studies
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.sources import PtbXl, open_source
from ecg_assets.sources.datasets import find_dataset, name_databases

RECORDS, LABELS, ALL = "(recordings)", "(labels)", "all"
"""Rows of the recordings and of how many labels there are, and column of all splits together."""

UNMEASURED = "(not measured)"
"""Follows the label in the row of the recordings of which it is not known."""

COUNT_ROWS = ("label", "split", "found", "published", "is_equal")


def compare_with_study(
    labels: pd.DataFrame, published: Published, split_of: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Compare recordings and positives, in all and in each split, with what was published.

    Parameters
    ----------
    labels
        Table of `LABELS` for the study's label set, of the whole dataset.
    published
        The counts.
    split_of
        Split of each recording by record_id; counts by split are left out without.

    Returns
    -------
    pandas.DataFrame
        `COUNT_ROWS`: the recordings first, then the labels in their order, then how many they
        are; what was not published has no row.
    """
    record_ids, label_names = (pd.factorize(labels[name])[1] for name in ("record_id", "label"))
    names = tuple(map(str, label_names))
    vocabulary = LabelVocabulary(names, ("mean",) * len(names)) if names else None
    values = label_matrix(labels, vocabulary)[1] if vocabulary else np.zeros((0, 0), np.uint8)
    split = np.array([(split_of or {}).get(str(name), "") for name in record_ids], dtype=object)
    rows = []
    expected_of = {(RECORDS, ""): published.records}
    expected_of |= {(label, ""): counts for label, counts in published.positives.items()}
    expected_of |= {(label, UNMEASURED): c for label, c in published.unmeasured.items()}
    for (label, what), counts in expected_of.items():
        # A label that the table lacks has no positives: all its rows may have been left out.
        value = values[:, names.index(label)] if label in names else np.zeros(len(values), np.uint8)
        counted = ~is_known(value) if what else is_positive(value) | (label == RECORDS)
        for name, expected in counts.items():
            if name == ALL or split_of is not None:
                found = int(counted[(split == name) | (name == ALL)].sum())
                row = f"{label} {what}".strip()
                rows.append((row, name, found, expected, found == expected))
    if published.labels is not None:
        is_equal = len(names) == published.labels
        rows.append((LABELS, ALL, len(names), published.labels, is_equal))
    return pd.DataFrame(rows, columns=list(COUNT_ROWS))


def find_differing_statements(
    labels: Mapping[str, LabelSet], statements: pd.DataFrame
) -> dict[str, list[str]]:
    """Compare the six tasks of PTB-XL with those that its own table of statements defines.

    Parameters
    ----------
    labels
        Label set of each task: super, sub, diag, form, rhythm, all.
    statements
        As `PtbXl.read_statements` gives it.

    Returns
    -------
    dict
        Labels of each task whose codes differ, sorted; empty for a task that is the same.
    """
    return {
        task: sorted(
            name
            for name in {*expected, *found}
            if set(expected.get(name, ())) != found.get(name, set())
        )
        for task, expected in derive_tasks(statements).items()
        if (found := _codes_of(labels[task])) is not None
    }


def derive_tasks(statements: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Derive the six tasks from PTB-XL's table of statements: task, label, codes.

    >>> table = pd.DataFrame(
    ...     {
    ...         "is_diagnostic": [True, False],
    ...         "is_form": [True, False],
    ...         "is_rhythm": [False, True],
    ...         "diagnostic_class": ["STTC", None],
    ...         "diagnostic_subclass": ["NST_", None],
    ...     },
    ...     index=["NST_", "SR"],
    ... )
    >>> [list(labels) for labels in derive_tasks(table).values()]
    [['STTC'], ['NST_'], ['NST_'], ['NST_'], ['SR'], ['NST_', 'SR']]
    """
    diagnostic = statements[statements["is_diagnostic"]]
    tasks = {
        task: {
            str(name): sorted(part.index) for name, part in diagnostic.groupby(column, sort=True)
        }
        for task, column in (("super", "diagnostic_class"), ("sub", "diagnostic_subclass"))
    }
    kinds = {"diag": "is_diagnostic", "form": "is_form", "rhythm": "is_rhythm"}
    for task, column in kinds.items():
        tasks[task] = {code: [code] for code in sorted(statements.index[statements[column]])}
    is_any = statements[list(kinds.values())].any(axis=1)
    tasks["all"] = {code: [code] for code in sorted(statements.index[is_any])}
    return tasks


def _codes_of(label_set: LabelSet) -> dict[str, set[str]]:
    """Give the codes of each label."""
    return {
        name: {concept.split(":", 2)[2] for concept in rule.includes if is_code(concept)}
        for name, rule in zip(label_set.vocabulary.names, label_set.rules, strict=True)
    }


def main(arguments: Sequence[str]) -> int:
    """Print every comparison; give 1 when a number differs.

    What cannot be read ends the program with a sentence.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ecg_assets.labels.study_counts", description=__doc__
    )
    parser.add_argument("source", help="dataset, as in ECG_SOURCE")
    parser.add_argument("root", type=Path, help="its folder, as in ECG_RAW_ROOT")
    asked = parser.parse_args(arguments)
    try:
        return _compare_all(asked.source, asked.root)
    except EcgAssetsError as error:
        parser.error(str(error))


def _compare_all(name_of_source: str, root: Path) -> int:
    dataset, source = find_dataset(name_of_source), open_source(name_of_source, root)
    listed = source.read_records()
    records = listed.table
    reports, databases = source.read_reports(records).table, name_databases(records)
    split_of = dataset.folds.name_splits(source) if dataset.folds else None
    own_labels = dataset.read_own_labels(source) if dataset.read_own_labels else ()
    n_wrong = n_studies = 0
    for what, expected in dataset.published_findings.items():
        found = listed.findings.get(what, 0)
        n_wrong += found != expected
        sys.stdout.write(f"{what}: {found} found, {expected} published\n")
    for name in shipped_studies():
        study = find_study(name)
        published = study.published if study else None
        if published is None or published.source != name_of_source:
            continue
        counted = reports
        if published.database:
            is_of_it = databases.to_numpy() == published.database
            if not is_of_it.any():
                continue
            counted = reports[is_of_it].reset_index(drop=True)
        n_studies += 1
        label_set = resolve_label_set(name, counted, own_labels=own_labels)
        labels = label_records(counted, label_set=label_set).labels
        table = compare_with_study(labels, published, split_of)
        wrong = table[~table["is_equal"]]
        n_wrong += len(wrong)
        sys.stdout.write(f"{name}: {len(table)} counts, {len(wrong)} differ\n")
        if len(wrong):
            sys.stdout.write(wrong.to_string(index=False) + "\n")
    if isinstance(source, PtbXl) and source.has_statements:
        tasks = ("super", "sub", "diag", "form", "rhythm", "all")
        sets = {task: load_label_set(f"ptb-xl-{task}-drop") for task in tasks}
        differing = find_differing_statements(sets, source.read_statements())
        n_wrong += sum(map(len, differing.values()))
        sys.stdout.write(f"labels other than in its table of statements: {differing}\n")
    if not n_studies and not dataset.published_findings:
        raise SettingsError(f"No study here published counts of {name_of_source}.")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
