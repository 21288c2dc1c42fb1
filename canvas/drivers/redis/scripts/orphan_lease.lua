-- Make an orphan of a message whose process is killed because of its task.
--
-- KEYS[1] unacked   KEYS[2] unacked_index   KEYS[3] leases of its worker
-- KEYS[4] hash of messages that its worker acked early
-- KEYS[5] zset of dead workers   KEYS[6] hash of reasons
-- ARGV[1] tag   ARGV[2] worker   ARGV[3] reason
-- Returns 1 when it was still leased or acked early; 0, and nothing is done, when its task has been settled.
-- Uses: context

local record = redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HGET', KEYS[4], ARGV[1])
if not record then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1], record)
redis.call('HSET', KEYS[6], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[5], string.format('%.6f', server_time()), ARGV[2])
return 1
