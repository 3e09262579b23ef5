"""What a plan changes: diff and order, the change set and its JSON, rollback. Pure, and the same for every type."""
