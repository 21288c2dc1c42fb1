-- Make chords ready to fail that have parts, and that got neither their size nor another part for a long time.
--
-- KEYS[1] canvas:chords:ready   KEYS[2] canvas:chords:ready_since
-- ARGV[1] what keys of groups start with   ARGV[2] unix time until which they are looked at
-- Returns how many are lost.
-- Uses: context

local unsized, index = KEYS[1] .. ':unsized', KEYS[1] .. ':unsized:index'
local now = server_time()
local lost = 0
for _, group in ipairs(redis.call('ZRANGE', index, '-inf', ARGV[2], 'BYSCORE', 'LIMIT', 0, 1000)) do
    local base, callback = ARGV[1] .. group, redis.call('HGET', unsized, group)
    redis.call('HDEL', unsized, group)
    redis.call('ZREM', index, group)
    -- Its client has stored the size by now, or Celery's workers have ended it.
    local goes_on = redis.call('EXISTS', base .. '.s') == 1 or redis.call('EXISTS', base .. '.j') == 0
    if callback and not goes_on and redis.call('SET', base .. '.c', 'lost', 'NX', 'EX', 86400) then
        redis.call('HSET', KEYS[1], group, callback)
        redis.call('ZADD', KEYS[2], now, group)
        lost = lost + 1
    end
end
return lost
