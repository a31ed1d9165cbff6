"""Messages between persons: read from `people`, taken apart, given their turn."""
