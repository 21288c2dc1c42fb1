-- Remove runs from the index of runs that are not kept any more.
-- KEYS[1] the index, as in library/runs.lua   ARGV[1] how many runs to check at most
-- Returns how many it has checked.
-- Uses: context, runs

return use('runs').unlist_expired(KEYS[1], server_time(), tonumber(ARGV[1]))
