-- Send messages, unless another call has sent them under the same guard.
--
-- KEYS[1] guard   KEYS[2] canvas:delayed   KEYS[3] canvas:delayed:messages
-- ARGV[1] msgpack: {publishes, deferrals}, as settle.lua's
-- Returns {1} when they are sent, {0} when the guard exists, {-1, why} when they cannot be sent.
-- Uses: context, effects

if redis.call('EXISTS', KEYS[1]) == 1 then return {0} end
context.deferred, context.messages = KEYS[2], KEYS[3]
local done, found = pcall(use('effects').send, cmsgpack.unpack(ARGV[1]))
if not done then return refusal_or_raise(found) end
redis.call('SET', KEYS[1], '1', 'EX', 86400)
return {1}
