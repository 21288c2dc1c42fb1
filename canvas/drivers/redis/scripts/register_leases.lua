-- Lease messages that another broker has delivered.
--
-- KEYS[1] unacked   KEYS[2] unacked_index   KEYS[3] leases of the worker   KEYS[4] canvas:revoked:version
-- ARGV[1] messages, msgpack: {{tag, record as in unacked, key of the message's id, 1 if it was delivered before, 1 if its
--     sender gave the id}, …}   ARGV[2] seconds to remember ids   ARGV[3] prefix of the keys of leases
-- ARGV[4] prefix of the keys of detached leases
-- Returns {{for each message 1: leased, or 0: not to be run}, version of the revocations, unix time}
-- Uses: context

local now = string.format('%.6f', server_time())
local verdicts = {}

-- Whether the message may be leased, by the mark of its id. The mark is the tag of the message's latest lease, or
-- "lost:" with 1 if the message ran, and its number of deliveries. It is this tag when the reply to an earlier call was
-- lost.
local function may_lease(mark, tag, redelivered, own_id)
    if not mark or mark == tag or string.sub(mark, 1, 5) == 'lost:' then return true end
    -- An id that the sender has not given is made from the message: a message that was settled before may have had the
    -- same.
    if redelivered == 0 and own_id == 0 then return true end
    local holder = string.match(mark, '^canvas:(.*):%d+$')
    if redelivered == 0 then
        -- Either the message was sent twice, or the broker was killed and has forgotten that it delivered the message.
        -- In the second case the broker will not deliver it again for the older lease: that lease is detached.
        if redis.call('HEXISTS', KEYS[1], mark) == 1 then redis.call('SADD', ARGV[4] .. holder, mark) end
        return false
    end
    if redis.call('HDEL', KEYS[1], mark) == 0 then return false end
    redis.call('ZREM', KEYS[2], mark)
    redis.call('SREM', ARGV[3] .. holder, mark)
    redis.call('SREM', ARGV[4] .. holder, mark)
    return true
end

local come = {}
for i, m in ipairs(cmsgpack.unpack(ARGV[1])) do
    local tag, record, id_key, redelivered, own_id = unpack(m, 1, 5)
    -- Of two copies in one call, one is leased.
    if not come[id_key] and may_lease(redis.call('GET', id_key), tag, redelivered, own_id) then
        redis.call('HSET', KEYS[1], tag, record)
        redis.call('ZADD', KEYS[2], now, tag)
        redis.call('SADD', KEYS[3], tag)
        redis.call('SET', id_key, tag, 'EX', ARGV[2])
        verdicts[i] = 1
    else
        verdicts[i] = 0
    end
    come[id_key] = true
end
return {verdicts, redis.call('GET', KEYS[4]) or 0, now}
