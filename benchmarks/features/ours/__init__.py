"""Our side of each contest, through the room's own public functions."""
