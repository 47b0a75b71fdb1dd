"""What is known of each recording beside its signal: by what predictions can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.preprocess import ShardDataset
from ecg_assets.sources.schema import NO_LABEL, RR_INTERVALS_MS, split_measured

SIGNAL_STATISTICS = ("mean_mv", "std_mv", "range_mv", "missing_share", "clipped_share")
"""Of each lead, from the sums and extremes that stand in its shard."""

FLAGS = ("flat", "missing", "limb_fault", "clipped")
"""Faults of a recording in any lead, the worst first."""

_STORED = ("gain", "baseline", "sum", "sum_sq", "n_missing", "min", "max", "is_flat", "n_clipped")


def describe_recordings(
    record_list: pd.DataFrame, machine_reports: pd.DataFrame, labels: pd.DataFrame
) -> pd.DataFrame:
    """Put together what the tables say of each recording, a row a recording of the list.

    Parameters
    ----------
    record_list, machine_reports, labels
        As `RECORD_LIST`, `MACHINE_REPORTS` and `LABELS` declare.

    Returns
    -------
    DataFrame
        ``record_id, subject_id, source, shard, year, age, sex, heart_rate_bpm, n_statements,
        is_certain``; empty where nothing is known. The heart rate is 60,000 over the cart's
        own RR interval in ms, where that lies within `RR_INTERVALS_MS`. ``n_statements`` counts
        report lines (or codes) of the report, ``is_certain`` is false where a label's
        probability lies between 0 and 1.

    Raises
    ------
    MergeError
        When a recording stands twice in a table.
    """
    facts = record_list[["record_id", "subject_id", "source", "shard", "age", "sex"]].copy()
    facts["year"] = record_list["ecg_time"].dt.year.astype("Float64")
    interval = machine_reports["rr_interval"]
    interval = interval.where(interval.between(*RR_INTERVALS_MS))
    reports = pd.DataFrame(
        {
            "record_id": machine_reports["record_id"],
            "heart_rate_bpm": 60_000 / interval,
            "n_statements": _count_statements(machine_reports["lines"]),
        }
    )
    hedged = labels["probability"].between(0, 1, inclusive="neither")
    certainty = pd.DataFrame({"record_id": labels["record_id"].unique().astype(str)})
    certainty["is_certain"] = ~certainty["record_id"].isin(labels.loc[hedged, "record_id"])
    facts = facts.merge(reports, on="record_id", how="left", validate="one_to_one")
    facts = facts.merge(certainty, on="record_id", how="left", validate="one_to_one")
    return facts.astype({"is_certain": "boolean"})


def describe_signals(shards: ShardDataset, leads: Sequence[str] = ()) -> pd.DataFrame:
    """Read flags and statistics of stored recordings; samples are not read.

    Parameters
    ----------
    shards
        Stored shards.
    leads
        The leads to look at; all that every shard has by default.

    Returns
    -------
    DataFrame
        ``record_id``, `FLAGS` (true or false, in any of the leads), ``signal_quality`` (NeuroKit2's
        class or empty), and `SIGNAL_STATISTICS` of each lead as float32, e.g. ``std_mv_I``; NaN
        where all samples are missing.
    """
    leads = leads or common_leads(shards)
    parts = [_describe_shard(ShardDataset({name: path}), leads) for name, path in shards.items()]
    if not parts:
        statistics = [f"{name}_{lead}" for name in SIGNAL_STATISTICS for lead in leads]
        return pd.DataFrame(columns=["record_id", "signal_quality", *FLAGS, *statistics])
    return pd.concat(parts, ignore_index=True)


def align_facts(
    record_ids: Sequence[str], facts: pd.DataFrame, signals: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give the facts of some recordings in their order, and how many lack which.

    Parameters
    ----------
    record_ids
        Distinct recordings.
    facts, signals
        As `describe_recordings` and `describe_signals` give them.

    Returns
    -------
    tuple
        A row a recording, empty where nothing is known; and the counts of recordings that are
        not in the record list, or without a report, labels or a stored signal.
    """
    wanted = pd.DataFrame({"record_id": list(record_ids)})
    aligned = wanted.merge(facts, on="record_id", how="left", validate="one_to_one")
    aligned = aligned.merge(signals, on="record_id", how="left", validate="one_to_one")
    lacking = {
        "not_in_record_list": "shard",
        "without_report": "n_statements",
        "without_labels": "is_certain",
        "without_signal": "flat",
    }
    return aligned, {name: int(aligned[fact].isna().sum()) for name, fact in lacking.items()}


def common_leads(shards: ShardDataset) -> list[str]:
    """Leads that every stored shard has, in the first one's order."""
    names = [pq.read_schema(path).names for path in shards.values()]
    first = (
        [name.removeprefix("lead_") for name in names[0] if name.startswith("lead_")]
        if names
        else []
    )
    return [lead for lead in first if all(f"lead_{lead}" in of_shard for of_shard in names)]


def _count_statements(lines: pd.Series) -> pd.Series:
    """Count the lines of each report; one that says that there is no label counts as none."""
    return lines.map(_count_lines).astype("Int64")


def _count_lines(report: list[str]) -> int:
    return sum(line != NO_LABEL and split_measured(line) is None for line in report)


def _describe_shard(shard: ShardDataset, leads: Sequence[str]) -> pd.DataFrame:
    columns = [f"{name}_{lead}" for name in _STORED for lead in leads]
    stored = shard.read(["record_id", "n_samples", "limb_fault", "signal_quality", *columns])
    facts = stored[["record_id", "signal_quality"]].copy()
    facts["flat"] = stored[[f"is_flat_{lead}" for lead in leads]].any(axis=1)
    facts["missing"] = (stored[[f"n_missing_{lead}" for lead in leads]] > 0).any(axis=1)
    facts["limb_fault"] = stored["limb_fault"].notna()
    facts["clipped"] = (stored[[f"n_clipped_{lead}" for lead in leads]] > 0).any(axis=1)
    return pd.concat([facts, *(_measure_lead(stored, lead) for lead in leads)], axis=1)


def _measure_lead(stored: pd.DataFrame, lead: str) -> pd.DataFrame:
    lead_of = {name: stored[f"{name}_{lead}"].astype(np.float64) for name in _STORED}
    n_samples = stored["n_samples"].astype(np.float64)
    n_present = (n_samples - lead_of["n_missing"]).replace(0, np.nan)
    mean = lead_of["sum"] / n_present
    variance = (lead_of["sum_sq"] / n_present - mean**2).clip(lower=0)
    measured = {
        "mean_mv": (mean - lead_of["baseline"]) / lead_of["gain"],
        "std_mv": np.sqrt(variance) / lead_of["gain"],
        "range_mv": ((lead_of["max"] - lead_of["min"]) / lead_of["gain"]).where(n_present.notna()),
        "missing_share": lead_of["n_missing"] / n_samples,
        "clipped_share": lead_of["n_clipped"] / n_samples,
    }
    frame = pd.DataFrame({f"{name}_{lead}": measured[name] for name in SIGNAL_STATISTICS})
    return frame.astype(np.float32)
