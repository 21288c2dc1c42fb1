-- Take a dead letter away, and put its message back where it came from.
--
-- KEYS[1] dead letters   KEYS[2] list of the queue
-- ARGV[1] the letter as stored   ARGV[2] envelope, empty to put nothing back
-- Returns 1 when the letter was there.

local found = redis.call('LREM', KEYS[1], 1, ARGV[1])
if found == 1 and ARGV[2] ~= '' then redis.call('LPUSH', KEYS[2], ARGV[2]) end
return found
