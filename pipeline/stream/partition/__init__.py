"""One partition of the stream: its states, its groups, their commit, and the changelog."""
