"""Take a routing decision and return the plan of its call. Keeps the live state and the budgets of all models."""
