-- Delete a dead letter, and return its message to its queue. A repeated call does nothing.
--
-- KEYS[1] guard   KEYS[2] dead letters   KEYS[3] list of the queue
-- ARGV[1] the call's token   ARGV[2] the letter as stored   ARGV[3] envelope; '': only delete
-- Returns 1 when the letter was there, else 0.

if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
local found = redis.call('LREM', KEYS[2], 1, ARGV[2])
if found == 0 then return 0 end
if ARGV[3] ~= '' then redis.call('LPUSH', KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
return 1
