"""Tests of ecg_assets.metrics."""
