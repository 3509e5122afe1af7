"""What is kept: the event log, its landed tables, releases, keys, decisions, the outbox and the journal, under one home."""
