-- Reserve the next start of a task that may start once in N seconds (GCRA without bursts).
--
-- KEYS[1] unix time of the first start that is not reserved; expires at that time
-- ARGV[1] seconds between two starts
-- Returns the unix time of the reserved start as text; "0" when it is now.
-- Uses: context

local now, interval = server_time(), tonumber(ARGV[1])
local turn = tonumber(redis.call('GET', KEYS[1]) or '0')
local at = math.max(turn, now)
redis.call('SET', KEYS[1], string.format('%.6f', at + interval), 'PX', math.ceil((at + interval - now) * 1000) + 1)
if at <= now then return '0' end
return string.format('%.6f', at)
