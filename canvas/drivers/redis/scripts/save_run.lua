-- Save fields of a workflow's run. A new run is listed in the index of runs. If another run has the key of an
-- idempotent start, nothing is saved.
--
-- KEYS[1] hash of the run   KEYS[2] canvas:chords:ready   KEYS[3] canvas:chords:ready_since
-- ARGV[1] id of the run   ARGV[2] seconds to keep it; 0: keep its present expiry, and a new run without an end
-- ARGV[3] for a new run its entry in the index, msgpack: as INDEX:listed of library/runs.lua; else ''
-- ARGV[4] to start the run, the group of the chord that becomes ready; else ''   ARGV[5] the callback of this chord
-- ARGV[6…] fields and values
-- Returns the id of the run that has the key: this one, or another. A run that exists is not started again.
-- Uses: context, runs

local AT_ONCE, EXPIRED_AT_ONCE = 1000, 20
local run_key, run, ttl, now = KEYS[1], ARGV[1], tonumber(ARGV[2]), server_time()
local index = use('runs').index_of(run_key)
-- In a repeated call the chord of the start may have been dispatched already.
if ARGV[4] ~= '' and redis.call('EXISTS', run_key) == 1 then return run end
if ARGV[3] ~= '' then
    local entry = cmsgpack.unpack(ARGV[3])
    use('runs').unlist_expired(index, now, EXPIRED_AT_ONCE, true)
    local owner = entry[4] ~= '' and use('runs').run_of_key(index, entry[4])
    if owner and owner ~= run then return owner end
    use('runs').list_run(run_key, entry, ttl, now)
end
for first = 6, #ARGV, AT_ONCE do
    redis.call('HSET', run_key, unpack(ARGV, first, math.min(first + AT_ONCE - 1, #ARGV)))
end
if ttl > 0 then
    redis.call('EXPIRE', run_key, ttl)
    use('runs').keep_listed(run_key, ttl)
end
if ARGV[3] == '' then use('runs').adopt_state(run_key) else use('runs').set_state_of_ended(run_key, cmsgpack.unpack(ARGV[3])) end
if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
    redis.call('ZADD', KEYS[3], now, ARGV[4])
end
return run
