-- Find runs that wait in a mailbox, and expire soon.
--
-- KEYS[1] a set of runs of the index, as in library/runs.lua
-- ARGV[1] cursor, as ZSCAN's   ARGV[2] how many runs to look at, about   ARGV[3] milliseconds in which they expire
-- Returns {the next cursor, or 0 after the last run; {run, …}}.
-- Uses: runs

return use('runs').waiting_runs(KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
