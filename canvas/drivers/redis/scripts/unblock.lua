-- Return messages that wait for a permit of a concurrency key to their lists.
--
-- KEYS[1] blocked (list)   KEYS[2] hash of keys with blocked messages
-- ARGV[1] the key   ARGV[2] how many at most
-- Returns how many were returned.
-- Uses: permits

return use('permits').enqueue_blocked(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]))
