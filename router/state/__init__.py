"""What several processes know together, kept in Redis. If Redis fails, each process goes on with what it knows."""
