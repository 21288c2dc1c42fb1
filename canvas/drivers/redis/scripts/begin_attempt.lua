-- Begin the next attempt of a run, unless it has begun already. The chord that starts the attempt becomes ready. The
-- record of the run, which holds the state of the attempt before, is deleted.
--
-- KEYS[1] hash of the run   KEYS[2] canvas:chords:ready   KEYS[3] canvas:chords:ready_since
-- KEYS[4…] keys of the run's record
-- ARGV[1] number of the attempt that is over   ARGV[2] group of the chord that starts it, or ''   ARGV[3] its callback
-- ARGV[4] seconds to keep the run, or 0   ARGV[5] state to list it under   ARGV[6] identifier of this call, or ''
-- ARGV[7] a field of the run: nothing is done if it holds the number of the attempt that is over
-- ARGV[8…] other fields to set, each with its value
-- Returns 1 when this call began the next attempt, now or when it was first made; else 0.
-- Uses: context, runs

local known = redis.call('HMGET', KEYS[1], 'attempt', 'begun_by', ARGV[7])
if known[1] ~= ARGV[1] then return (ARGV[6] ~= '' and known[2] == ARGV[6]) and 1 or 0 end
if known[3] == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'attempt', ARGV[1] + 1, 'begun_by', ARGV[6], unpack(ARGV, 8))
redis.call('DEL', unpack(KEYS, 4))
use('runs').set_run_state(KEYS[1], ARGV[5])
if tonumber(ARGV[4]) > 0 then
    redis.call('EXPIRE', KEYS[1], ARGV[4])
    use('runs').keep_listed(KEYS[1], tonumber(ARGV[4]))
end
if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
    redis.call('ZADD', KEYS[3], server_time(), ARGV[2])
end
return 1
