"""What readers go by: how far the pipeline has come."""
