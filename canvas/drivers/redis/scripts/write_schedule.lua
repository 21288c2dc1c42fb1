-- Change an entry of a schedule, and commit a settlement without a delivery: both or neither.
--
-- KEYS[1] hash of the schedule   KEYS[2] zset of its due times   KEYS[3] canvas:delayed   KEYS[4] canvas:delayed:messages
-- KEYS[5] canvas:chords:ready   KEYS[6] canvas:chords:ready_since   KEYS[7] canvas:alive   KEYS[8] canvas:workers
-- ARGV[1] name   ARGV[2] the revision it must have; 0: there is none   ARGV[3] the call's token   ARGV[4] due, or ''
-- ARGV[5] state   ARGV[6] 1 to change the definition, else 0   ARGV[7] definition   ARGV[8] broker db
-- ARGV[9] result db   ARGV[10] settlement, msgpack: as settle.lua's, or ''
-- Returns {1, ready chords {group, callback, parts, structure, 1 if it is lost}}; {0, {}} if it has another revision;
-- {-1, why} when the settlement cannot be committed.
-- Uses: context, effects

context.broker_db, context.result_db = ARGV[8], ARGV[9]
context.deferred, context.messages, context.ready_key, context.ready_index = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
context.alive_key, context.workers_key = KEYS[7], KEYS[8]
context.now = server_time()

local raw = redis.call('HGET', KEYS[1], ARGV[1])
local entry = raw and cmsgpack.unpack(raw) or {0, '', '', ''}
if entry[2] == ARGV[3] then return {1, {}} end
if entry[1] ~= tonumber(ARGV[2]) then return {0, {}} end

local ready = {}
if ARGV[10] ~= '' then
    local done, found = pcall(use('effects').record_and_send, cmsgpack.unpack(ARGV[10]))
    if not done then return refusal_or_raise(found) end
    ready = found
end
on_broker()
local definition = ARGV[6] == '1' and ARGV[7] or entry[4]
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack({entry[1] + 1, ARGV[3], ARGV[5], definition}))
if ARGV[4] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) end
return {1, ready}
