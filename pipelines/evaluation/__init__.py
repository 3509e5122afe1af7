"""Judging: metrics with their uncertainty, the gate, drift that matters, triage, and when to learn again."""
