"""Tests of ecg_assets.defs."""
