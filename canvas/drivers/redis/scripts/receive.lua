-- Apply a crossing: messages and releases that another partition has kept for this one. A repeated call does nothing.
--
-- KEYS[1] guard   KEYS[2] canvas:delayed   KEYS[3] canvas:delayed:messages
-- ARGV[1] the crossing's token   ARGV[2] seconds to remember it   ARGV[3] msgpack: {publishes, deferrals, locks}, as settle.lua's
-- ARGV[4] prefix of the names of lists   ARGV[5] prefix of the keys of dead letters
-- ARGV[6] how many dead letters to keep
-- Returns 1 when it is applied, 0 when it was before. A message that its list refuses becomes a dead letter.
-- Uses: context, permits, effects

if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
context.deferred, context.messages, context.now = KEYS[2], KEYS[3], server_time()

local function push_or_bury(m)
    local done, why = pcall(context.push, m)
    if done then return end
    local refused, queue = refusal_or_raise(why), string.sub(m[1], #ARGV[4] + 1)
    for i = 2, #m do use('effects').dead_letter(ARGV[5] .. queue, m[i], refused[2], queue, ARGV[6]) end
end

local s = cmsgpack.unpack(ARGV[3])
for _, m in ipairs(s.publishes or NONE) do push_or_bury(m) end
use('effects').send({deferrals = s.deferrals})
for _, u in ipairs(s.locks or NONE) do use('permits').release_lock(u[1], u[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
