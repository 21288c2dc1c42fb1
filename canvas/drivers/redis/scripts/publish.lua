-- Append messages to lists, once, however often the call is made.
--
-- KEYS[1] guard   KEYS[2…] lists
-- ARGV[1] the call's token   ARGV[2…] for each list: how many payloads, and those
-- Returns 1 when they are appended, 0 when they were already and only the answer was lost.

if redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600, 'GET') == ARGV[1] then return 0 end
local at = 2
for i = 2, #KEYS do
    local last = at + ARGV[at]
    local pushed = redis.pcall('LPUSH', KEYS[i], unpack(ARGV, at + 1, last))
    if type(pushed) == 'table' then
        -- Refused, so that a repeated call is to be refused as well.
        redis.call('DEL', KEYS[1])
        return pushed
    end
    at = last + 1
end
return 1
