-- Move deferred messages that are due into their lists.
--
-- KEYS[1] canvas:deferred   KEYS[2] canvas:deferred:messages
-- ARGV[1] how many at most   ARGV[2] what names of lists start with   ARGV[3] what keys of dead letters start with
-- ARGV[4] how many of these to keep
-- Returns how many were moved; one that its key refuses is a dead letter now.

local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.6f', server_time()), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
    local packed = redis.call('HGET', KEYS[2], id)
    if packed then
        local m = cmsgpack.unpack(packed)
        local done = redis.pcall('LPUSH', m[1], m[2])
        if type(done) == 'table' and done.err then
            local list = string.sub(m[1], #ARGV[2] + 1)
            local queue = string.match(list, '^(.*)\6\22%d$') or list
            bury(ARGV[3] .. queue, m[2], refused(done)[2], queue, ARGV[4])
        end
    end
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
end
return #due
