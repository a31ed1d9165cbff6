"""Identity: the person an id means, the ids a person has, and where a session lies."""
