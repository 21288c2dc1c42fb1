-- Unregister a worker whose messages were returned. Leases beyond these stay until the worker is checked again.
--
-- KEYS[1] canvas:worker:<id>:heartbeat   KEYS[2] canvas:workers   KEYS[3] canvas:workers:silent_since   KEYS[4] leases of the worker
-- KEYS[5] acked early by the worker   KEYS[6] zset of dead workers   KEYS[7] canvas:workers:recovered
-- KEYS[8] canvas:workers:live_until   KEYS[9…] further keys of the worker, which are deleted
-- ARGV[1] worker   ARGV[2] 1: only if it sends no heartbeats   ARGV[3] tags of the leases that were returned, msgpack
-- ARGV[4] seconds until others settle its early acked messages   ARGV[5] seconds to keep these
-- ARGV[6] entry of canvas:workers:recovered; empty: the worker can have made no call meanwhile
-- ARGV[7] seconds until the worker is first checked again   ARGV[8] seconds to keep the entries
-- Returns 1; 0 if the worker sends heartbeats: then nothing is changed.
-- Uses: context

if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local AT_ONCE, tags, now = 1000, cmsgpack.unpack(ARGV[3]), server_time()
for first = 1, #tags, AT_ONCE do
    redis.call('SREM', KEYS[4], unpack(tags, first, math.min(first + AT_ONCE - 1, #tags)))
end
redis.call('DEL', KEYS[1], unpack(KEYS, 9))
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[8], ARGV[1])
if redis.call('EXISTS', KEYS[5]) == 1 then
    redis.call('EXPIRE', KEYS[5], ARGV[5])
    redis.call('ZADD', KEYS[6], string.format('%.6f', now + ARGV[4]), ARGV[1])
end
if ARGV[6] ~= '' then
    redis.call('ZADD', KEYS[7], string.format('%.6f', now + ARGV[7]), ARGV[6])
    redis.call('EXPIRE', KEYS[7], ARGV[8])
end
return 1
