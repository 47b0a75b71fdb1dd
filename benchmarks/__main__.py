"""Run every benchmark: ``python -m benchmarks``."""

from benchmarks import evaluation, labels, preprocess

for benchmark in (preprocess, labels, evaluation):
    benchmark.main()
