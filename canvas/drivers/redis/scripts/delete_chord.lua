-- Delete a chord that is ready after its body was sent on another server, or after it failed.
--
-- KEYS[1] canvas:chords:ready   KEYS[2] canvas:chords:ready_since   KEYS[3] the group's key   KEYS[4] canvas:alive
-- ARGV[1] group id   ARGV[2] "1" when it failed   ARGV[3] seconds until its other keys expire; 0: do not change that
-- Returns 1 when it was still ready.
-- Uses: context, chords

context.broker_db, context.result_db = '0', '0'
context.ready_key, context.ready_index, context.alive_key = KEYS[1], KEYS[2], KEYS[4]
return use('chords').delete_ready(ARGV[1], KEYS[3], ARGV[2] == '1', tonumber(ARGV[3]))
