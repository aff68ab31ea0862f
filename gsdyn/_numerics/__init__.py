"""Linear algebra and batches: what the solvers stand on, with no word about learning."""
