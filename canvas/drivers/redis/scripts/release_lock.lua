-- Release a lock if this owner has it.
--
-- KEYS[1] lock   ARGV[1] owner
-- Returns 1 when it is released, else 0.
-- Uses: permits

return use('permits').release_lock(KEYS[1], ARGV[1])
