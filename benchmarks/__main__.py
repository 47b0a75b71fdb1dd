"""Run every benchmark: ``python -m benchmarks``."""

from benchmarks import evaluation, preprocess

for benchmark in (preprocess, evaluation):
    benchmark.main()
