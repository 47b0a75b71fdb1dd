"""Tests of ecg_assets.build."""
