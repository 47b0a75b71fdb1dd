"""Labels that are all codes of the data, in the graph: MIMIC-IV-ECG-Ext-ICD from its files."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ecg_assets.defs.input_facts import require_labels, require_split
from ecg_assets.defs.settings import Settings
from ecg_assets.labels import LABELS
from ecg_assets.labels.label_set import label_set_of
from ecg_assets.made_with import facts_of
from ecg_assets.sources.synthetic.made.mimic_icd import write_mimic_icd
from ecg_assets.split import SPLIT
from ecg_assets_tests.defs.small_job import TABLES, SmallJob


def test_diagnoses_run_from_table_to_labels_and_split(tmp_path: Path) -> None:
    write_mimic_icd(tmp_path / "icd", n_records=100)
    study = tmp_path / "diagnoses.yaml"
    study.write_text("like: mimic-icd\nevery_code: {least_records: 8}\n", encoding="utf-8")
    settings = Settings(
        source="mimic-iv-ecg-ext-icd",
        raw_root=str(tmp_path / "icd"),
        data_dir=str(tmp_path / "data"),
        label_set=str(study),
    )
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = SmallJob(instance, settings)
        job.materialize(*TABLES)
    found, split = (job.settings.stored.read_table(schema) for schema in (LABELS, SPLIT))
    label_set = label_set_of(facts_of(found, "labels"))
    assert label_set is not None
    assert {"I48", "I10"} <= set(label_set.vocabulary.names)
    assert label_set == job.settings.load_label_set()
    require_labels(job.settings, found)
    require_split(job.settings, split)
    assert set(split["split"]) == {"train", "valid", "test"}
    assert facts_of(split, "split")["split_rule"] == "folds of mimic-iv-ecg-ext-icd"
