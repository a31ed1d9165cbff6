"""Languages: the catalogue of the pages' texts, and how numbers, money and times are written."""
