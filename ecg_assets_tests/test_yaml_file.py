"""YAML that people write: each key once, and entries laid over others."""

from __future__ import annotations

import pytest

from ecg_assets.yaml_file import parse_yaml


@pytest.mark.parametrize("of_package", [True, False])
def test_an_entry_can_be_laid_over_another(of_package: bool) -> None:
    text = "base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\n"
    found = parse_yaml(text, of_package=of_package)
    assert found["own"] == {"a": 1, "b": 3}
    with pytest.raises(ValueError, match=r"\['b'\] stand there more than once"):
        parse_yaml("base: &base {a: 1}\nown: {<<: *base, b: 3, b: 4}\n", of_package=of_package)
