-- Settlements of no delivery: records, chord starts, parts, messages. What clients do; it needs no right to leases.
--
-- KEYS[1] canvas:deferred   KEYS[2] canvas:deferred:messages   KEYS[3] canvas:ready   KEYS[4] canvas:ready:index
-- KEYS[5] guard
-- ARGV[1] broker db   ARGV[2] result db   ARGV[3] settlements, msgpack: as settle.lua's
-- ARGV[4] the call's token
-- Returns verdicts: {1, ready chords {group, fire, parts, structure}}, or {-1, why} for what cannot be done; none when
-- all was done already and only the answer was lost.

broker_db, result_db = ARGV[1], ARGV[2]
deferred, messages, ready_key, ready_index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
now = server_time()

if redis.call('GET', KEYS[5]) == ARGV[4] then return {} end
local verdicts, any = {}, false
for i, s in ipairs(cmsgpack.unpack(ARGV[3])) do
    local done, found = pcall(record_and_send, s)
    verdicts[i], any = done and {1, found} or refused(found), any or done
end
on_broker()
if any then redis.call('SET', KEYS[5], ARGV[4], 'EX', 3600) end
return verdicts
