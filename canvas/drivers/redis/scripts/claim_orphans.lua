-- Hand out, for a while, messages that were acked before their task ran and whose worker is dead.
--
-- KEYS[1] zset of dead workers, by when their orphans are to be had   KEYS[2] what the keys of messages that are acked early start with
-- KEYS[3] hash of reasons
-- ARGV[1] seconds until they are handed out again
-- Returns {tag, record, reason, tag, record, reason, …}.
-- Uses: context

local now, found = server_time(), {}
for _, worker in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.6f', now), 'BYSCORE')) do
    local acked = redis.call('HGETALL', KEYS[2] .. worker)
    if #acked == 0 then
        redis.call('ZREM', KEYS[1], worker)
    else
        redis.call('ZADD', KEYS[1], string.format('%.6f', now + tonumber(ARGV[1])), worker)
        for i = 1, #acked, 2 do
            local reason = redis.call('HGET', KEYS[3], acked[i]) or ''
            found[#found + 1], found[#found + 2], found[#found + 3] = acked[i], acked[i + 1], reason
        end
    end
end
return found
