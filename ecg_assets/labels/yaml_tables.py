"""Read the tables of this room: YAML files beside the code, in which no key may stand twice."""

from __future__ import annotations

from collections.abc import Hashable
from importlib.resources import files
from typing import Any

import yaml

from ecg_assets.lineage import fingerprint_bytes

_READING_TABLES = ("concepts", "wording", "snomed_ct", "scp_ecg", "code_15", "condition_folders")


class _UniqueKeys(yaml.SafeLoader):
    """YAML itself keeps the last of two equal keys, which would hide an entry."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{self.name}: {twice} stand twice in one mapping.")
        return super().construct_mapping(node, deep=deep)


def read_table(name: str) -> dict[str, Any]:
    """Read ``<name>.yaml`` of this package.

    Raises
    ------
    ValueError
        When a key stands twice.
    """
    return parse_table(
        files("ecg_assets.labels").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    )


def vocabulary_fingerprint() -> str:
    """Fingerprint of the tables that decide how reports and codes are read."""
    folder = files("ecg_assets.labels")
    return fingerprint_bytes(
        *(folder.joinpath(f"{name}.yaml").read_bytes() for name in _READING_TABLES)
    )


def parse_table(text: str) -> dict[str, Any]:
    """Parse YAML; a key that stands twice, or text that is no YAML, is a ValueError."""
    try:
        table: dict[str, Any] = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"this is no YAML: {error}") from error
    return table
