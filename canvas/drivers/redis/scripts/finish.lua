-- Forget a chord that has been fired, where its body was sent on another server.
--
-- KEYS[1] canvas:ready   KEYS[2] canvas:ready:index   KEYS[3] the group's key
-- ARGV[1] group id   ARGV[2] "1" when it failed
-- Returns 1 when it was still ready.

ready_key, ready_index = KEYS[1], KEYS[2]
return forget(ARGV[1], KEYS[3], ARGV[2] == '1')
