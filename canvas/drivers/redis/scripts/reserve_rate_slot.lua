-- Reserve the next start of a task that may start once in N seconds.
--
-- KEYS[1] when the turn after the last taken one is, unix time; lives until then
-- ARGV[1] seconds between turns
-- Returns the turn's unix time as text; "0" when it is now.
-- Uses: context

local now, interval = server_time(), tonumber(ARGV[1])
local turn = tonumber(redis.call('GET', KEYS[1]) or '0')
local at = math.max(turn, now)
redis.call('SET', KEYS[1], string.format('%.6f', at + interval), 'PX', math.ceil((at + interval - now) * 1000) + 1)
if at <= now then return '0' end
return string.format('%.6f', at)
