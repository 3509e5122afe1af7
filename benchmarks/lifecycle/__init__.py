"""Policies of keeping a model fresh, on a shop whose truth is known: `python -m benchmarks.lifecycle` writes docs/lifecycle.md."""
