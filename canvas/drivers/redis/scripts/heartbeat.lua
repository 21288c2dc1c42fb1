-- Renew the heartbeat of a worker, its registration, and the time of every lease it holds.
--
-- KEYS[1] canvas:worker:<id>:heartbeat   KEYS[2] canvas:workers   KEYS[3] canvas:workers:silent_since
-- KEYS[4] leases of the worker
-- KEYS[5] unacked_index   KEYS[6] hash of messages that it acked early   KEYS[7] zset of dead workers
-- KEYS[8] canvas:workers:live_until
-- ARGV[1] worker   ARGV[2] ttl, milliseconds   ARGV[3] its lists, JSON
-- Returns {number of workers that send heartbeats, including this one; 1 when it was registered before, else 0}.
-- Uses: context

redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
local new = redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('PERSIST', KEYS[6])
redis.call('ZREM', KEYS[7], ARGV[1])
local time = server_time()
redis.call('ZADD', KEYS[8], string.format('%.3f', time + ARGV[2] / 1000), ARGV[1])
local now = string.format('%d', time)
local tags = redis.call('SMEMBERS', KEYS[4])
for _, tag in ipairs(tags) do redis.call('ZADD', KEYS[5], 'XX', now, tag) end
return {redis.call('ZCOUNT', KEYS[8], string.format('%.3f', time), '+inf'), 1 - new}
