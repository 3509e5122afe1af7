"""The whole story on one machine: a simulated shop lives, breaks, changes, and Shelflife does the right thing each time."""
