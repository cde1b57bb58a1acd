"""Entities: their kinds of attribute, how they are read, changed and shown (clauses 4.5, 5.5)."""
