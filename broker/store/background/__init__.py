"""Background work: a runner of periodic tasks, and leases with which one process does a task for all."""
