-- Take one of a key's permits for a leased message. If all are taken, block the message until one is free.
--
-- KEYS[1] permits (set of tags)   KEYS[2] blocked (list)   KEYS[3] hash of keys with blocked messages
-- KEYS[4] unacked   KEYS[5] unacked_index   KEYS[6] leases of this worker
-- ARGV[1] tag   ARGV[2] number of permits   ARGV[3] the key   ARGV[4] list of the message   ARGV[5] payload
-- ARGV[6] prefix of the hashes of early-acked messages
-- Returns 1: taken; 0: blocked, the lease is gone; -1: the lease was lost before.
-- Uses: permits

local tag = ARGV[1]
if redis.call('SISMEMBER', KEYS[1], tag) == 1 then return 1 end
if redis.call('HEXISTS', KEYS[4], tag) == 0 then return -1 end
if use('permits').in_use(KEYS[1], KEYS[4], ARGV[6]) < tonumber(ARGV[2]) then
    redis.call('SADD', KEYS[1], tag)
    return 1
end
use('permits').block({unpack(KEYS, 2)}, tag, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return 0
