"""Attribution: the path of touches before a conversion, its limit, and the models that share the credit."""
