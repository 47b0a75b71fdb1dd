"""Tests of ecg_assets.preprocess."""
