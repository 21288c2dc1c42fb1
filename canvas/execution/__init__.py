"""Call one function here, with its request, limits and signals; for workers and for `apply()`."""
