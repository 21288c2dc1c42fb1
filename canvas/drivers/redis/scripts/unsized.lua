-- Find lost chords: chords with parts that have got neither a size nor another part for a long time. Each becomes
-- ready, so that a worker lets it fail.
--
-- KEYS[1] canvas:chords:ready   KEYS[2] canvas:chords:ready_since
-- ARGV[1] prefix of the keys of groups   ARGV[2] unix time: chords whose waiting time ends later are not checked
-- Returns how many chords are lost.
-- Uses: context

local unsized, index = KEYS[1] .. ':unsized', KEYS[1] .. ':unsized:index'
local now = server_time()
local lost = 0
for _, group in ipairs(redis.call('ZRANGE', index, '-inf', ARGV[2], 'BYSCORE', 'LIMIT', 0, 1000)) do
    local base, callback = ARGV[1] .. group, redis.call('HGET', unsized, group)
    redis.call('HDEL', unsized, group)
    redis.call('ZREM', index, group)
    -- Its client has stored the size by now, or Celery's workers have ended the chord.
    local goes_on = redis.call('EXISTS', base .. '.s') == 1 or redis.call('EXISTS', base .. '.j') == 0
    if callback and not goes_on and redis.call('SET', base .. '.c', 'lost', 'NX', 'EX', 86400) then
        redis.call('HSET', KEYS[1], group, callback)
        redis.call('ZADD', KEYS[2], now, group)
        lost = lost + 1
    end
end
return lost
