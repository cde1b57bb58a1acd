"""Notifications: which subscriptions a change triggers, and how entries are delivered (clause 5.8.6)."""
