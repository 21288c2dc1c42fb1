-- Free a lock, if it is still whose it is said to be.
--
-- KEYS[1] lock   ARGV[1] owner
-- Returns 1 when it was.
-- Uses: permits

return use('permits').release_lock(KEYS[1], ARGV[1])
