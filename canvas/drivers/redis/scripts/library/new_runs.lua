-- Runs that a settlement writes: runs inside, each of a workflow in the place of a task or a node.
--
-- KEYS and ARGV are the script's. The results' database is selected.
-- Returns: write.

local AT_ONCE = 1000

-- run: {hash, seconds to keep it (0: without an end), {field, value, …}}. A run that has begun a later attempt is
-- unchanged.
local function write(run)
    local key, ttl, words = unpack(run, 1, 3)
    local attempt = redis.call('HGET', key, 'attempt')
    if attempt and attempt ~= '0' then return end
    for first = 1, #words, AT_ONCE do
        redis.call('HSET', key, unpack(words, first, math.min(first + AT_ONCE - 1, #words)))
    end
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
end

return {write = write}
