"""Notifications: which subscriptions a change is due to, and their delivery (clause 5.8.6)."""
