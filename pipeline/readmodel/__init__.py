"""Read model: the progress of the pipeline, which says up to when answers are complete, and alerts' windows."""
