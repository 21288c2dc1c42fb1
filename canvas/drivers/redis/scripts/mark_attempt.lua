-- Set fields of a run while an attempt is its latest one, and list the run under the state that they give it.
--
-- KEYS[1] hash of the run   ARGV[1] number of the attempt   ARGV[2…] fields and values
-- Returns 1, or 0 when the run has begun a later attempt, or is not kept; nothing is done then.
-- Uses: runs

if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
use('runs').adopt_state(KEYS[1])
return 1
