-- Unregister a worker that holds no message; its next heartbeat registers it again.
-- KEYS[1] leases of the worker   KEYS[2] hash of messages that it acked early   KEYS[3] canvas:worker:<id>:heartbeat
-- KEYS[4] canvas:redelivered_running:<id>
-- KEYS[5] canvas:workers   KEYS[6] canvas:workers:silent_since   KEYS[7] canvas:workers:live_until
-- ARGV[1] worker
-- Returns 1; 0, and nothing is done, when it holds a message.

if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('HDEL', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
return 1
