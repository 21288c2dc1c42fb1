-- Forget a chord whose body was sent on another server.
--
-- KEYS[1] canvas:chords:ready   KEYS[2] canvas:chords:ready_since   KEYS[3] the group's key   KEYS[4] canvas:alive
-- ARGV[1] group id   ARGV[2] "1" when it failed   ARGV[3] seconds to keep what is left of it, 0: as it is
-- Returns 1 when it was still ready.

broker_db, result_db = '0', '0'
ready_key, ready_index, alive_key = KEYS[1], KEYS[2], KEYS[4]
return delete_ready(ARGV[1], KEYS[3], ARGV[2] == '1', tonumber(ARGV[3]))
