"""Identity: the person an id means, the ids a person has, and the place of a session."""
