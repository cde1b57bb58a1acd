"""Every write to entities, their history and what is pending: queued, judged, and committed in groups.

A write is one guarded update of one document (decision 0013), so a group is one command, in which each
statement stands alone. A transaction is for what has to move out of a document, and for groups of several
entities as long as nobody else writes the same: it costs MongoDB less.
"""
