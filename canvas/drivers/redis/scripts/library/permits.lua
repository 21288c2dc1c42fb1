-- The permits of concurrency keys, the messages that wait for one, and the locks of unique tasks.
--
-- KEYS and ARGV are the script's. The broker's database is selected.
-- Returns: in_use, block, enqueue_blocked, release_permit, release_lock.

-- How many of a key's permits are in use, by messages that are leased, or acked early and not settled yet. Deletes the
-- others.
local function in_use(permits, unacked, early_acked_prefix)
    for _, tag in ipairs(redis.call('SMEMBERS', permits)) do
        local worker = string.match(tag, '^canvas:(.*):[^:]*$')
        local runs = redis.call('HEXISTS', unacked, tag) == 1
            or (worker and redis.call('HEXISTS', early_acked_prefix .. worker, tag) == 1)
        if not runs then redis.call('SREM', permits, tag) end
    end
    return redis.call('SCARD', permits)
end

-- Block a leased message until one of the `limit` permits of a key is free.
-- k: {blocked, index, unacked, unacked_index, leases of its worker}. Returns 1; 0 when the lease was lost before.
local function block(k, tag, limit, key, list, payload)
    if redis.call('HDEL', k[3], tag) == 0 then return 0 end
    redis.call('ZREM', k[4], tag)
    redis.call('SREM', k[5], tag)
    redis.call('RPUSH', k[1], cmsgpack.pack({list, payload}))
    redis.call('HSET', k[2], key, limit)
    return 1
end

-- Return up to `many` blocked messages of a key to their lists; returns how many.
local function enqueue_blocked(blocked, index, key, many)
    local count = 0
    while count < many do
        local packed = redis.call('LPOP', blocked)
        if not packed then break end
        local m = cmsgpack.unpack(packed)
        redis.call('RPUSH', m[1], m[2])
        count = count + 1
    end
    if redis.call('EXISTS', blocked) == 0 then redis.call('HDEL', index, key) end
    return count
end

-- Release a tag's permit. The messages that have waited longest return to their queues, as many as permits are free.
-- f: {permits, blocked, index, key, early_acked_prefix}
local function release_permit(f, tag, unacked)
    redis.call('SREM', f[1], tag)
    local left = in_use(f[1], unacked, f[5])
    local limit = tonumber(redis.call('HGET', f[3], f[4]) or '0')
    if limit > left then enqueue_blocked(f[2], f[3], f[4], limit - left) end
end

local function release_lock(lock, owner)
    if redis.call('GET', lock) ~= owner then return 0 end
    return redis.call('DEL', lock)
end

return {
    in_use = in_use, block = block, enqueue_blocked = enqueue_blocked,
    release_permit = release_permit, release_lock = release_lock,
}
