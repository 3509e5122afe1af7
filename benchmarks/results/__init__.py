"""Our figures on public data beside the published ones: `python -m benchmarks.results` writes docs/results.md."""
