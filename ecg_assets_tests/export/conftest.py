"""The cohort of the tests of build, for the tests of export."""

from ecg_assets_tests.build.conftest import cohort, untouched_cohort

__all__ = ["cohort", "untouched_cohort"]
