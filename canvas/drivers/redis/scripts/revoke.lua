-- Add entries to the revocations, for some time. An entry that is there already stays longer.
--
-- KEYS[1] canvas:revoked   KEYS[2] canvas:revoked:version
-- ARGV[1] seconds   ARGV[2…] entries
-- Returns how many are new. The version changes only if there are any.
-- Uses: context

local now = server_time()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now))
local added, until_when = 0, string.format('%.6f', now + tonumber(ARGV[1]))
for i = 2, #ARGV do added = added + redis.call('ZADD', KEYS[1], until_when, ARGV[i]) end
if added > 0 then redis.call('INCR', KEYS[2]) end
return added
