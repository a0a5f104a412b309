"""The training pipeline: two CSV files in, an artifact folder that `router` loads out."""
