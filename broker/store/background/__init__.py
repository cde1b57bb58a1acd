"""Work in the background: one runner for all of it, and leases, under which one process works for all."""
