"""The HTTP binding (clause 6): turns requests into calls of operations, and results into responses."""
