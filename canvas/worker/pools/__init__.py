"""Where tasks run: this thread, threads, an event loop, child processes."""
