"""The history of entities: written, corrected, packed, kept for a while, and read."""
