-- Let a run and records expire, unless the run that they belong to has begun another attempt meanwhile.
--
-- KEYS[1] hash of the run that they belong to   KEYS[2] hash of the run   KEYS[3] canvas:runs:until   KEYS[4…] records
-- ARGV[1] number of the attempt   ARGV[2] seconds to keep the run, 0: always   ARGV[3] seconds to keep the records
-- ARGV[4] run   ARGV[5] when to look whether it is kept
-- Returns 1, or 0 when nothing is done.

if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end

local function last(key, seconds)
    if tonumber(seconds) > 0 then redis.call('EXPIRE', key, seconds) else redis.call('PERSIST', key) end
end

last(KEYS[2], ARGV[2])
for n = 4, #KEYS do last(KEYS[n], ARGV[3]) end
if tonumber(ARGV[2]) > 0 then redis.call('ZADD', KEYS[3], 'XX', ARGV[5], ARGV[4]) end
return 1
