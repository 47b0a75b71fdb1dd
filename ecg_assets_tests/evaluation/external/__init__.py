"""Tests of ecg_assets.evaluation.external."""
