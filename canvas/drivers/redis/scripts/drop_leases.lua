-- End leases on messages that another broker delivers again.
--
-- KEYS[1] unacked   KEYS[2] unacked_index   KEYS[3] leases of the worker   KEYS[4] its detached leases
-- KEYS[5] canvas:worker:<id>, where nothing is to be done if it lives
-- ARGV[1] msgpack: {{tag, key of the message's id, mark of a message that was lost, or false}, …}
-- ARGV[2] seconds to remember a mark
-- Returns {how many leases were dropped, the tags of the leases that are kept: the broker has lost their messages}.

if KEYS[5] and redis.call('EXISTS', KEYS[5]) == 1 then return {0, {}} end
local count, kept = 0, {}
for _, d in ipairs(cmsgpack.unpack(ARGV[1])) do
    local tag, id_key, mark = unpack(d, 1, 3)
    if redis.call('SISMEMBER', KEYS[4], tag) == 1 then
        kept[#kept + 1] = tag
    else
        redis.call('ZREM', KEYS[2], tag)
        redis.call('SREM', KEYS[3], tag)
        if redis.call('HDEL', KEYS[1], tag) == 1 then
            count = count + 1
            if redis.call('GET', id_key) == tag then
                if mark then redis.call('SET', id_key, mark, 'EX', ARGV[2]) else redis.call('DEL', id_key) end
            end
        end
    end
end
return {count, kept}
