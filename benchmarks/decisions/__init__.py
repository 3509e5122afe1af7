"""How often the decisions are wrong, on worlds whose truth is known: `make bench-decisions` writes docs/decisions.md."""
