from __future__ import annotations

import json

from ecg_assets.defs.build import build_definitions
from ecg_assets_tests.defs.graph import SNAPSHOT, describe_graph


def test_asset_graph_is_as_in_the_snapshot() -> None:
    """A wanted change: run ``python -m ecg_assets_tests.defs.graph`` and review the diff."""
    assert describe_graph(build_definitions()) == json.loads(SNAPSHOT.read_text())
