"""Entities as they are now: read by id and by query, shown, counted by shape, and swept when they expire."""
