"""Contracts at work: suites over a snapshot through Great Expectations, and rows in a stream."""
