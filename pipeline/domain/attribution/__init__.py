"""Who gets credit: the path of a conversion, its limit, and the models that share it."""
