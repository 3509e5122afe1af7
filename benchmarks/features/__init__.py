"""The features room beside its peers: `make bench-features` measures, checks that results are equal, and writes docs/benchmarks.md."""
