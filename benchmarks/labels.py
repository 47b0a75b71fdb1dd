"""Labelling as many studies as MIMIC-IV-ECG has, against reading every report on its own."""

from __future__ import annotations

import itertools
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.timing import print_ratio
from ecg_assets.labels import ECG_FM_LABEL_SET, label_records, read_line
from ecg_assets.labels.codings import find_reasons
from ecg_assets.labels.concepts import load_knowledge
from ecg_assets.sources.schema import REPORT_TEXT

N_STUDIES = 800_035
N_LINES = 2_760_117
N_DISTINCT = 3_862
N_ALONE = 20_000
"""Reports read on their own; the time for all follows from these."""


def main() -> None:
    """Print studies per second, peak memory and the ratio."""
    reports = make_reports(np.random.default_rng(0))
    alone = reports["lines"].iloc[:N_ALONE].tolist()
    started = time.process_time()
    for lines in alone:
        for line in lines:
            find_reasons(read_line(line), ECG_FM_LABEL_SET.concepts)
    reference = (time.process_time() - started) * N_STUDIES / N_ALONE
    started = time.process_time()
    tables = label_records(reports)
    ours = time.process_time() - started
    print(f"{N_STUDIES} studies, {N_LINES} lines, {N_DISTINCT} distinct: {ours:.1f} CPU seconds")
    print(f"{N_STUDIES / ours:,.0f} studies per second; {len(tables.evidence):,} rows of evidence")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 2**20:.1f} GiB")
    print_ratio("labelling, against reading every report on its own", ours, reference)


def make_reports(generator: np.random.Generator) -> pd.DataFrame:
    """Make reports of MIMIC's size whose lines repeat as MIMIC's do: a few often, most seldom."""
    distinct = _distinct_lines()
    share = 1 / np.arange(1, N_DISTINCT + 1)
    codes = generator.choice(N_DISTINCT, N_LINES, p=share / share.sum())
    ends = np.sort(generator.choice(np.arange(1, N_LINES), N_STUDIES - 1, replace=False))
    texts = np.array(distinct, dtype=object)[codes]
    return pd.DataFrame(
        {
            "record_id": [f"mimic_iv_ecg_{i}" for i in range(N_STUDIES)],
            "coding": REPORT_TEXT,
            "lines": pd.Series(np.split(texts, ends), dtype=object),
        }
    )


def _distinct_lines() -> list[str]:
    knowledge = load_knowledge()
    wordings = itertools.chain.from_iterable(knowledge.wordings.values())
    texts = sorted({text for wording in wordings for text in knowledge.expand(wording)})
    hedged = [f"{hedge}{text}" for hedge in ("", "Possible ", "No ") for text in texts]
    # A few wordings of each concept among the frequent lines.
    order = np.random.default_rng(0).permutation(len(hedged))
    return [hedged[i] for i in order[:N_DISTINCT]]


if __name__ == "__main__":
    main()
