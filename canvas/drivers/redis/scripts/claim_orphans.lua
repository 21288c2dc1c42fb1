-- Hand out orphans: messages that were acked early and whose worker is dead. They are handed out again after a time,
-- unless they are settled by then.
-- KEYS[1] zset of dead workers, by the time from which their orphans may be claimed
-- KEYS[2] prefix of the hashes of early-acked messages   KEYS[3] hash of reasons
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
