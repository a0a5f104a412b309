"""Take a router and a benchmark, and report whether routing pays."""
