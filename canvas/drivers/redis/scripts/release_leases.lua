-- Release leases: each message returns to the head of its list, or lists, if it is still leased or acked early.
--
-- KEYS[1] unacked   KEYS[2] unacked_index   KEYS[3] leases of the worker   KEYS[4] hash of messages that it acked early
-- KEYS[5], optional: canvas:worker:<id>:heartbeat; while it exists, nothing is released
-- ARGV[1] msgpack: {{tag, payload, list, …}, …}; the first is served first
-- Returns how many messages were returned.

if KEYS[5] and redis.call('EXISTS', KEYS[5]) == 1 then return 0 end
local count = 0
local given = cmsgpack.unpack(ARGV[1])
for i = #given, 1, -1 do
    local g = given[i]
    redis.call('ZREM', KEYS[2], g[1])
    redis.call('SREM', KEYS[3], g[1])
    if redis.call('HDEL', KEYS[1], g[1]) + redis.call('HDEL', KEYS[4], g[1]) > 0 then
        for j = 3, #g do redis.call('RPUSH', g[j], g[2]) end
        count = count + 1
    end
end
return count
