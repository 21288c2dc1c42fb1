-- Return blocked messages of a key to their lists while permits are free. Tasks that end do so too; this call covers
-- permits that were freed in another way, as by the death of a worker.
--
-- KEYS[1] permits   KEYS[2] blocked   KEYS[3] hash of keys with blocked messages   KEYS[4] unacked
-- ARGV[1] the key   ARGV[2] prefix of the hashes of early-acked messages
-- Returns how many messages were returned.
-- Uses: permits

local limit = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
return use('permits').enqueue_blocked(KEYS[2], KEYS[3], ARGV[1], limit - use('permits').in_use(KEYS[1], KEYS[4], ARGV[2]))
