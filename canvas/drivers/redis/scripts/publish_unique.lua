-- Send a message unless one like it is under way.
--
-- KEYS[1] lock   KEYS[2…] lists
-- ARGV[1] whose it is to be   ARGV[2] milliseconds it lives at most   ARGV[3] payload
-- Returns whose the lock is already; false when the message was sent.

local owner = redis.call('GET', KEYS[1])
if owner then return owner end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for i = 2, #KEYS do redis.call('LPUSH', KEYS[i], ARGV[3]) end
return false
