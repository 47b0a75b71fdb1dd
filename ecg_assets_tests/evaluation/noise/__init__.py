"""Tests of ecg_assets.evaluation.noise."""
