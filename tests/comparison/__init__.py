"""`dns check` beside checkdmarc, through one name server: scripts/compare-checkdmarc and scripts/benchmark-dns."""
