"""State shared by all processes: subscriptions, timers, @contexts, and the processes themselves."""
