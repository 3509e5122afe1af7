"""Releases under fire: kills, races, damaged bytes, rollbacks and bad models over the real store and the real server."""
