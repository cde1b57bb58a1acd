"""Registrations of context sources (clauses 4.3.6, 5.9, 5.10, 5.12): what they have, and when it counts."""
