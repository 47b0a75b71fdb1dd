"""Read YAML that people write: no key may stand twice, and keys are the text that they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class _UniqueKeys(yaml.constructor.SafeConstructor):
    """Reads keys as the text that they are, each once.

    YAML 1.1 makes a truth value of the key ``NO``, nothing of ``null`` and a number of a code; of
    two equal keys it keeps the last, which would hide an entry.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = _TEXT
        named = (key for key, _ in node.value if key.tag != _MERGE)
        keys = Counter(str(self.construct_object(key, deep=True)) for key in named)
        twice = sorted(key for key, count in keys.items() if count > 1)
        if twice:
            raise ValueError(f"keys {twice} stand there more than once; keep one of each.")
        return super().construct_mapping(node, deep=deep)


class _Anyones(_UniqueKeys, yaml.SafeLoader):
    """Reads what people write."""


class _Ours(_UniqueKeys, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads files of this package, ten times faster; deep nesting would crash it."""


class _NoAliases(_Anyones):
    """Refuses nodes that are repeated: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it repeats a node by an alias (*name); write it out.")
        return super().compose_node(parent, index)


def parse_yaml(text: str, *, aliases: bool = True, of_package: bool = False) -> Any:
    """Parse YAML.

    Parameters
    ----------
    text
        The content of a file.
    aliases
        Whether a node may be repeated by ``*name``.
    of_package
        Whether the file is one of this package's own, which libyaml may read.

    Raises
    ------
    ValueError
        When a key stands twice, or the text is no YAML.
    """
    loader = _Ours if of_package else _Anyones if aliases else _NoAliases
    try:
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"this is no YAML: {error}") from error
    except RecursionError:
        raise ValueError("it is nested too deep; expected keys and values.") from None


_MOST_BYTES = 1 << 20


def read_yaml(path: Path, *, aliases: bool = True) -> Any:
    """Read a file of YAML in UTF-8 that is not larger than 1 MiB, as `parse_yaml` does.

    Raises
    ------
    ValueError
        As `parse_yaml`, and when it is no regular file, is larger, or is no UTF-8.
    OSError
        When it cannot be read.
    """
    if path.exists() and not path.is_file():  # opening a named pipe would wait for its writer
        raise ValueError("it is no regular file.")
    n_bytes = path.stat().st_size
    if n_bytes > _MOST_BYTES:
        raise ValueError(f"it has {n_bytes} bytes; at most {_MOST_BYTES} are read.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 (byte {error.start}); save it as UTF-8.") from error
    return parse_yaml(text, aliases=aliases)
