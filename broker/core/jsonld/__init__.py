"""Names: short terms to IRIs and back (clause 5.5.7)."""
