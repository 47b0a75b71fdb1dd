"""Tests of ecg_assets.sources."""
