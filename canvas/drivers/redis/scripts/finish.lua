-- Forget a chord that has been fired, where its body was sent on another server.
--
-- KEYS[1] canvas:ready   KEYS[2] canvas:ready:index   KEYS[3] the group's key
-- ARGV[1] group id   ARGV[2] "1" when it failed
-- Returns 1 when it was still ready.

local held = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
local base = KEYS[3]
if ARGV[2] == '1' then
    redis.call('DEL', base .. '.s')
else
    redis.call('DEL', base .. '.j', base .. '.t', base .. '.s', base .. '.d')
    redis.call('SET', base .. '.c', 'done', 'EX', 300)
end
return held
