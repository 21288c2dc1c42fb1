-- Commit settlements without a delivery: records, chord starts, parts, messages. Clients call it: it needs no
-- permission for the keys of leases.
--
-- KEYS[1] guard   KEYS[2] canvas:delayed   KEYS[3] canvas:delayed:messages   KEYS[4] canvas:chords:ready
-- KEYS[5] canvas:chords:ready_since   KEYS[6] canvas:alive   KEYS[7] canvas:workers
-- ARGV[1] the call's token   ARGV[2] broker db   ARGV[3] result db   ARGV[4] settlements, msgpack: as settle.lua's
-- Returns a verdict for each: 1; if chords became ready, {1, ready chords {group, callback, parts, structure, 1 if it is
--     lost}, groups of the waits that a speculative end has ended, if there are any}; {-1, why} if it cannot be
--     committed. No verdicts when an earlier call, whose reply was lost, has committed them.
-- Uses: context, effects

context.broker_db, context.result_db = ARGV[2], ARGV[3]
context.deferred, context.messages, context.ready_key, context.ready_index = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
context.alive_key, context.workers_key = KEYS[6], KEYS[7]
context.now = server_time()

if redis.call('GET', KEYS[1]) == ARGV[1] then return {} end
local verdicts, any = {}, false
for i, s in ipairs(cmsgpack.unpack(ARGV[4])) do
    local done, found = pcall(use('effects').record_and_send, s)
    local plain = done and #found + #found.ended == 0
    verdicts[i] = plain and 1 or done and {1, found, #found.ended > 0 and found.ended or nil} or refusal_or_raise(found)
    any = any or done
end
on_broker()
if any then redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600) end
return verdicts
