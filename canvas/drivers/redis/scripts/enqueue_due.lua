-- Move deferred messages that are due into their lists.
--
-- KEYS[1] canvas:delayed   KEYS[2] canvas:delayed:messages
-- ARGV[1] how many at most   ARGV[2] what names of lists start with   ARGV[3] what keys of dead letters start with
-- ARGV[4] how many of these to keep   ARGV[5] the text between a queue's name and a priority step
-- Returns how many were moved; one that its key refuses is a dead letter now.
-- Uses: context, effects

local function queue_of(list)
    local before = #list - #ARGV[5] - 1
    if before > 0 and string.sub(list, before + 1, -2) == ARGV[5] and string.find(list, '%d$') then
        return string.sub(list, 1, before)
    end
    return list
end

local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.6f', server_time()), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
    local packed = redis.call('HGET', KEYS[2], id)
    if packed then
        local m = cmsgpack.unpack(packed)
        local done = redis.pcall('LPUSH', m[1], m[2])
        if type(done) == 'table' and done.err then
            local list = string.sub(m[1], #ARGV[2] + 1)
            local queue = queue_of(list)
            use('effects').dead_letter(ARGV[3] .. queue, m[2], refusal_or_raise(done)[2], queue, ARGV[4])
        end
    end
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
end
return #due
