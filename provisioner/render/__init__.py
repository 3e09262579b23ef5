"""The change set's JSON as every output that people and programs read. Escaping for each medium belongs here."""
