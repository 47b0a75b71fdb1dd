"""Tests of ecg_assets.labels."""
