-- Take the lock of a unique task and send its message, unless another message has the lock. A repeated call does
-- nothing.
--
-- KEYS[1] guard   KEYS[2] lock   KEYS[3…] lists; "\0" and a channel for a fanout exchange
-- ARGV[1] the call's token   ARGV[2] id of the task, the owner of the lock
-- ARGV[3] milliseconds until the lock expires
-- ARGV[4…] payload of each list
-- Returns the owner of the lock if it is taken; false when the message was sent.
-- Uses: context

if redis.call('GET', KEYS[1]) == ARGV[1] then return false end
local owner = redis.call('GET', KEYS[2])
if owner then return owner end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
for i = 3, #KEYS do context.append({KEYS[i], ARGV[i + 1]}) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
return false
