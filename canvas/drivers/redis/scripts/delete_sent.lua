-- Delete the oldest messages of an outbox, and put those that were refused into the outbox of all workers. A repeated
-- call does nothing.
--
-- KEYS[1] guard   KEYS[2] outbox   KEYS[3] outbox of all workers
-- ARGV[1] the call's token   ARGV[2] how many messages   ARGV[3…] the refused ones
-- Returns 1 when they are deleted, 0 when an earlier call, whose reply was lost, has deleted them.

if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('RPOP', KEYS[2], ARGV[2])
for i = 3, #ARGV do redis.call('LPUSH', KEYS[3], ARGV[i]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
return 1
