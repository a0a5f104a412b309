"""Take the results of calls and report the load, latency and availability of each endpoint."""
