-- Settlements of no delivery: records, chord starts, parts, messages. What clients do; it needs no right to leases.
--
-- KEYS[1] canvas:deferred   KEYS[2] canvas:deferred:messages   KEYS[3] canvas:ready   KEYS[4] canvas:ready:index
-- KEYS[5] guard: the call is made already, and only its answer was lost
-- ARGV[1] broker db   ARGV[2] result db   ARGV[3] settlements, msgpack: as settle.lua's
-- ARGV[4] seconds for which the call may be repeated
-- Returns verdicts: {1, ready chords {group, fire, parts, structure}}, or {-1, why} for what cannot be done; none when
-- the call is made already.

broker_db, result_db = ARGV[1], ARGV[2]
deferred, messages, ready_key, ready_index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
now = server_time()

if not redis.call('SET', KEYS[5], '1', 'NX', 'EX', ARGV[4]) then return {} end
local verdicts = {}
for i, s in ipairs(cmsgpack.unpack(ARGV[3])) do
    local done, found = pcall(record_and_send, s)
    verdicts[i] = done and {1, found} or refused(found)
end
return verdicts
