"""Tests of ecg_assets.evaluation.shift."""
