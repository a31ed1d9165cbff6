"""The embedded installation: a broker and every service as child processes of one launcher."""
