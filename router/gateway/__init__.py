"""A server in front of the router: requests of any client in, answers of the models out, unchanged."""
