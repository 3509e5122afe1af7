"""The shop: its vocabulary of events, readers of public and own data, and a simulated shop whose truth is known."""
