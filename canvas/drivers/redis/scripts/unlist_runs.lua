-- Remove runs from the index of runs that are not kept any more.
--
-- KEYS[1] the index, as in run_index.lua   ARGV[1] how many runs to look at
-- Returns how many it has looked at.

return unlist_expired(KEYS[1], server_time(), tonumber(ARGV[1]))
