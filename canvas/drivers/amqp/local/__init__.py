"""The state of messages where no server keeps it: in this process, and in those that it forks."""
