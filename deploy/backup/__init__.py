"""`attrikit backup` and `attrikit restore`: keep tables, control plane and data folder, and bring them back."""
