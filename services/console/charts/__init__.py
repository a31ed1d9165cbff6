"""Charts: facts in, SVG out. Pure; colours and themes come from the style sheet."""
