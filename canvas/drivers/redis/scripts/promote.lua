-- Move deferred messages that are due into their lists.
--
-- KEYS[1] canvas:deferred   KEYS[2] canvas:deferred:messages
-- ARGV[1] how many at most
-- Returns how many were moved.

local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.6f', server_time()), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
    local packed = redis.call('HGET', KEYS[2], id)
    if packed then
        local m = cmsgpack.unpack(packed)
        redis.call('LPUSH', m[1], m[2])
    end
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
end
return #due
