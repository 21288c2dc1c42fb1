-- Commit the records of a settlement, for results that are on another server than the broker: records of tasks, chord
-- starts, parts, mail.
--
-- KEYS[1] canvas:chords:ready   KEYS[2] canvas:chords:ready_since   KEYS[3] canvas:alive
-- ARGV[1] msgpack: {runs, stores, chord_starts, extensions, keeps, parts, mail}, as settle.lua's
-- Returns the chords that became ready: {{group, callback, parts, structure, 1 if it is lost}, …}; or {-1, why} when
--     they cannot be committed
-- Uses: context, effects

context.broker_db, context.result_db = '0', '0'
context.ready_key, context.ready_index, context.alive_key = KEYS[1], KEYS[2], KEYS[3]
context.now = server_time()
local done, found = pcall(use('effects').record, cmsgpack.unpack(ARGV[1]))
return done and found or refusal_or_raise(found)
