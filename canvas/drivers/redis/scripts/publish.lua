-- Append messages to a list, once, however often the call is made. It stands alone, without effects.lua.
--
-- KEYS[1] guard   KEYS[2] list
-- ARGV[1] the call's token   ARGV[2…] payloads
-- Returns 1 when they are appended, 0 when they were already and only the answer was lost.

if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('LPUSH', KEYS[2], unpack(ARGV, 2))
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
return 1
