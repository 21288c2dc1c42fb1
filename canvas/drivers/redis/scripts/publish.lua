-- Append messages to lists, or publish them to fanout exchanges. A repeated call does nothing.
--
-- KEYS[1] guard   KEYS[2…] lists; "\0" and a channel for a fanout exchange
-- ARGV[1] the call's token   ARGV[2…] for each list: the number of its payloads, and the payloads
-- Returns 1 when they are sent, 0 when an earlier call, whose reply was lost, has sent them.
-- Uses: context

if redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600, 'GET') == ARGV[1] then return 0 end
local at = 2
for i = 2, #KEYS do
    local last = at + ARGV[at]
    local done, why = pcall(context.append, {KEYS[i], unpack(ARGV, at + 1, last)})
    if not done then
        -- Without the guard, a repeated call is refused as well.
        redis.call('DEL', KEYS[1])
        return redis.error_reply(type(why) == 'table' and why.err or why)
    end
    at = last + 1
end
return 1
