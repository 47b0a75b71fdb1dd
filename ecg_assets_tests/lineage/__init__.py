"""Tests of ecg_assets.lineage."""
