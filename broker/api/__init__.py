"""The HTTP binding (clause 6): requests to calls, results to answers. It decides nothing."""
