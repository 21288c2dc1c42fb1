-- End a chord that is ready: send its body, or record its failure. Of several calls, the one that deletes the ready
-- record does this.
--
-- KEYS[1] canvas:chords:ready   KEYS[2] canvas:chords:ready_since   KEYS[3] canvas:delayed   KEYS[4] canvas:delayed:messages
-- KEYS[5] canvas:alive   KEYS[6] canvas:workers
-- ARGV[1] broker db   ARGV[2] result db   ARGV[3] the end of the chord, msgpack:
--     {group, base, failed, expires, and as settle.lua's: runs, stores, chord_starts, parts, mail, publishes, deferrals}
-- Returns {1, outer chords that became ready}; {0, {}} when another call has ended it; {-1, why} when it cannot be
--     ended.
-- Uses: context, effects

context.broker_db, context.result_db = ARGV[1], ARGV[2]
context.ready_key, context.ready_index, context.deferred, context.messages = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
context.alive_key, context.workers_key = KEYS[5], KEYS[6]
context.now = server_time()

return use('effects').dispatch_chord(cmsgpack.unpack(ARGV[3]))
