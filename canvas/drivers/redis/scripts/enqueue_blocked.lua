-- Return blocked messages to their lists where permits are free, although no task has just released one.
--
-- KEYS[1] permits   KEYS[2] blocked   KEYS[3] hash of keys with blocked messages   KEYS[4] unacked
-- ARGV[1] the key   ARGV[2] what the keys of messages that are acked early start with
-- Returns how many.
-- Uses: permits

local limit = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
return use('permits').enqueue_blocked(KEYS[2], KEYS[3], ARGV[1], limit - use('permits').in_use(KEYS[1], KEYS[4], ARGV[2]))
