-- Append messages to lists. A repeated call does nothing.
--
-- KEYS[1] guard   KEYS[2…] lists
-- ARGV[1] the call's token   ARGV[2…] for each list: the number of its payloads, and the payloads
-- Returns 1 when they are appended, 0 when an earlier call, whose reply was lost, has appended them.

if redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600, 'GET') == ARGV[1] then return 0 end
local at = 2
for i = 2, #KEYS do
    local last = at + ARGV[at]
    local pushed = redis.pcall('LPUSH', KEYS[i], unpack(ARGV, at + 1, last))
    if type(pushed) == 'table' then
        -- Without the guard, a repeated call is refused as well.
        redis.call('DEL', KEYS[1])
        return pushed
    end
    at = last + 1
end
return 1
