"""What is pending: entries, each one change with the subscriptions that it is to be delivered to.

The pending entries of an entity lie in its document, in order (`o`). The collection `outbox` holds the
entries for which the document had no room, reports, and replayed dead letters. Where the outbox may hold
entries of an entity, the entity's document is marked (`ov`).
"""
