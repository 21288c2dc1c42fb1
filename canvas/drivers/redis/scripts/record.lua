-- The result side alone: records, chord starts, parts. For results on another server than the broker.
--
-- KEYS[1] canvas:ready   KEYS[2] canvas:ready:index
-- ARGV[1] msgpack: {stores, joins, grows, parts}, as settle.lua's
-- Returns the chords that became ready: {group, fire, parts, structure}; or {-1, why it cannot be done}

broker_db, result_db = '0', '0'
ready_key, ready_index = KEYS[1], KEYS[2]
now = server_time()
local done, found = pcall(record, cmsgpack.unpack(ARGV[1]))
return done and found or refused(found)
