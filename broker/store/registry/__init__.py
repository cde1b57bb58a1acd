"""What all processes have to know: subscriptions, their timers, @contexts, and each other."""
