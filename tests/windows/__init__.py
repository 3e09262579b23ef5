"""Windows, imitated on another system: what it lacks is withheld from the program before anything is imported."""
