"""Sessions: events grouped in any order, lateness, rows published, made final and archived."""
