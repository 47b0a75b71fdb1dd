"""Checks of the stage protocol; they are there where ECG_PROTOCOL is set."""

import dagster as dg
import pandas as pd

from ecg_assets.defs.assets.protocol import deployed_protocol
from ecg_assets.defs.protocol import DeployedProtocol
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.errors import EcgAssetsError
from ecg_assets.labels.label_set import find_study
from ecg_assets.labels.study_counts import compare_with_study
from ecg_assets.protocols.protocol import Rules, Task
from ecg_assets.protocols.table import MISSING
from ecg_assets.protocols.task import label_task


def build_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Give the checks where there is a protocol."""
    return [labels_are_the_papers, test_splits_are_the_papers] if settings.protocol else []


@dg.asset_check(asset="protocol_table", blocking=False)
def labels_are_the_papers(settings: Settings) -> dg.AssetCheckResult:
    """On the whole release that a paper counted, each task's labels give its counts."""
    deployed = deployed_protocol(settings)
    compared: list[pd.DataFrame] = []
    not_compared: dict[str, str] = {}
    for name, task in deployed.protocol.tasks.items():
        for rules in Rules:
            place = f"{name}, {rules}"
            try:
                found = _compare(deployed, task, rules)
            except EcgAssetsError as error:
                not_compared[place] = str(error)
                continue
            if isinstance(found, str):
                not_compared[place] = found
            else:
                compared.append(found.assign(task=place))
    table = pd.concat(compared, ignore_index=True) if compared else None
    return dg.AssetCheckResult(
        passed=table is None or bool(table["is_equal"].all()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "not_compared": not_compared,
            **({} if table is None else {"comparison": table_metadata(table)}),
        },
    )


def _compare(deployed: DeployedProtocol, task: Task, rules: Rules) -> pd.DataFrame | str:
    """Compare a task's counts with those that its study published; or say why it cannot be."""
    study = find_study(task.label_set_by(rules))
    published = study.published if study else None
    if published is None or published.source != task.source:
        return f"nothing is published of {task.label_set_by(rules)}"
    labelled = label_task(deployed.stored(task.source), task, rules)
    if len(labelled.records) != published.dataset_records:
        return (
            f"published of {published.dataset_records} recordings, stored are "
            f"{len(labelled.records)}"
        )
    return compare_with_study(labelled.labels, published, deployed.splits(task, rules))


@dg.asset_check(asset="protocol_table", blocking=False)
def test_splits_are_the_papers(
    settings: Settings, protocol_table: pd.DataFrame
) -> dg.AssetCheckResult:
    """Each task is tested on as many recordings as the paper's; otherwise it says nothing of it."""
    tasks = deployed_protocol(settings).protocol.tasks
    evaluated = protocol_table[protocol_table["verdict"] != MISSING]
    found = evaluated.groupby(["task", "rules"], sort=False)["n"].max().reset_index()
    found["published"] = [tasks[name].published_test_records for name in found["task"]]
    other = found[found["published"].notna() & (found["n"] != found["published"])]
    return dg.AssetCheckResult(
        passed=other.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"tasks_of_other_recordings": table_metadata(other)},
    )
