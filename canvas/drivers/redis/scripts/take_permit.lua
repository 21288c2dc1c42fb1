-- Take one of a key's permits for the holder of a lease in any partition.
--
-- KEYS[1] permits (set of holders)
-- ARGV[1] the holder   ARGV[2] number of permits
-- Returns 1 when the holder has a permit, else 0.

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 1 end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
return redis.call('SADD', KEYS[1], ARGV[1])
