-- Read the entries of a schedule that are due, and the time at which the next of the others is due.
--
-- KEYS[1] hash of the schedule   KEYS[2] zset of its due times
-- ARGV[1] how many at most
-- Returns {now, next due or '', name, due, entry {revision, token, state, definition} as msgpack, …}
-- Uses: context

local now = server_time()
local time = string.format('%.6f', now)
local later = redis.call('ZRANGE', KEYS[2], '(' .. time, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
local found = {time, later[2] or ''}
local due = redis.call('ZRANGE', KEYS[2], '-inf', time, 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
for i = 1, #due, 2 do
    local entry = redis.call('HGET', KEYS[1], due[i])
    if entry then
        found[#found + 1] = due[i]
        found[#found + 1] = due[i + 1]
        found[#found + 1] = entry
    else
        redis.call('ZREM', KEYS[2], due[i])
    end
end
return found
