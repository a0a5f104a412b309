"""Take a call and return its answer: deadlines, retries, fallbacks and streams."""
