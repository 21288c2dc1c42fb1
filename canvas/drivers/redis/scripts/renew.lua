-- Prolong the keys of the chords that have not ended: Celery's workers let them expire sooner. Unregister chords that
-- have ended, and, an hour later, chords without a size: a Celery worker has ended such a chord without a mark, or its
-- state is gone.
-- KEYS[1] canvas:alive   KEYS[2] lock: one worker at a time goes through all chords
-- ARGV[1] broker db   ARGV[2] result db   ARGV[3] rank of the first to check   ARGV[4] how many to check
-- ARGV[5] milliseconds for which the lock is taken; 0: the caller has it, and goes on
-- Returns {how many were checked, how many of them were unregistered}; {0, 0} when another worker has the lock
-- Uses: context, chords

context.broker_db, context.result_db = ARGV[1], ARGV[2]
context.alive_key = KEYS[1]
local now = server_time()

-- Seconds for which a chord without a size stays registered, so that a late part finds out that its state is gone.
local GONE_FOR = 3600

-- Celery's workers leave a mark behind a chord whose body they have sent.
local function has_ended(base) return redis.call('GET', base .. '.c') == 'done' end

-- Celery's workers delete the size of a chord that has failed, and its other keys expire.
local function is_whole(kind, base) return kind == 'run:' or redis.call('EXISTS', base .. '.s') == 1 end

on_broker()
local pause = tonumber(ARGV[5])
if pause > 0 and not redis.call('SET', KEYS[2], '1', 'NX', 'PX', pause) then return {0, 0} end
local first = tonumber(ARGV[3])
local found = redis.call('ZRANGE', context.alive_key, first, first + ARGV[4] - 1, 'WITHSCORES')
local ended, without_size = {}, {}
on_results()
for at = 1, #found, 2 do
    local kind, base = string.match(found[at], '^(%a+:)(.*)$')
    local left = tonumber(found[at + 1]) - now
    if left <= 0 or has_ended(base) then
        ended[#ended + 1] = found[at]
    elseif is_whole(kind, base) then
        use('chords').last_for(base, left < math.huge and math.ceil(left) or 0)
    else
        without_size[#without_size + 1] = found[at]
    end
end
on_broker()
if #ended > 0 then redis.call('ZREM', context.alive_key, unpack(ended)) end
for _, member in ipairs(without_size) do redis.call('ZADD', context.alive_key, 'XX', 'LT', now + GONE_FOR, member) end
local latest = redis.call('ZRANGE', context.alive_key, -1, -1, 'WITHSCORES')
if #latest > 0 and tonumber(latest[2]) < math.huge then
    redis.call('EXPIRE', context.alive_key, math.ceil(tonumber(latest[2]) - now))
end
return {#found / 2, #ended}
