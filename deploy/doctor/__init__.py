"""`attrikit doctor`: report what is wrong or soon will be, and what helps."""
