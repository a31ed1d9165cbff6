"""How large an installation has to be: figures measured, the plan worked out of them, and the plan in words."""
