"""`attrikit doctor`: is anything wrong, is anything about to be, and what helps."""
