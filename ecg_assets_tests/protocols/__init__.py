"""Tests of ecg_assets.protocols."""
