"""``python -m ecg_assets.evaluation explain <metrics.json> <metric>``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ecg_assets.evaluation.report.explain import explain


def main(arguments: list[str]) -> str:
    """Run a command and return what it says."""
    parser = argparse.ArgumentParser(prog="python -m ecg_assets.evaluation")
    command = parser.add_subparsers(required=True).add_parser(
        "explain", help="name everything behind one number"
    )
    command.add_argument("metrics", type=Path, help="metrics.json of a report, or eval_metrics")
    command.add_argument("metric", help="macro.auroc, or labels/<label>/auroc")
    chosen = parser.parse_args(arguments)
    try:
        document = json.loads(chosen.metrics.read_text(encoding="utf-8"))
        return str(explain(document, chosen.metric))
    except (OSError, ValueError, LookupError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
