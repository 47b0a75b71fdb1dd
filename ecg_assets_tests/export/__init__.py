"""Tests of ecg_assets.export."""
