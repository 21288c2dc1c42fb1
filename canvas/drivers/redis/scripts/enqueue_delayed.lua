-- Move delayed messages of one queue into it, due or not.
--
-- KEYS[1] canvas:delayed   KEYS[2] canvas:delayed:messages
-- ARGV[1] how many at most   ARGV[2] rank of the first to read   ARGV[3] how many to read   ARGV[4…] the queue's lists
-- Returns {moved, read}.

local lists, moved, looked = {}, 0, 0
for at = 4, #ARGV do lists[ARGV[at]] = true end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1)) do
    if moved >= tonumber(ARGV[1]) then break end
    looked = looked + 1
    local packed = redis.call('HGET', KEYS[2], id)
    local m = packed and cmsgpack.unpack(packed)
    if m and lists[m[1]] then
        redis.call('LPUSH', m[1], m[2])
        redis.call('HDEL', KEYS[2], id)
        redis.call('ZREM', KEYS[1], id)
        moved = moved + 1
    end
end
return {moved, looked}
