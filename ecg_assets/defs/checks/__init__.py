"""Asset checks, of data and of evaluation; they return numbers when they pass, too."""

import dagster as dg

from ecg_assets.defs.checks import data, evaluation

ALL_CHECKS = dg.load_asset_checks_from_modules([data, evaluation])
