-- Find runs that wait in a mailbox and expire soon.
--
-- KEYS[1] a set of runs of the index, as in library/runs.lua
-- ARGV[1] cursor of ZSCAN   ARGV[2] about how many runs to check   ARGV[3] milliseconds within which they expire
-- Returns {the next cursor, or 0 after the last run; {run, …}}.
-- Uses: runs

return use('runs').waiting_runs(KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
