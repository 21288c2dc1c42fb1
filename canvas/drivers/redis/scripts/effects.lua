-- What a settlement or a firing does, as functions; loaded in front of the scripts that use them.
--
-- KEYS and ARGV are the loading script's. It has set these locals before calling:
--   broker_db, result_db   database numbers
--   now                    unix time, seconds, of this server
--   ready_key, ready_index hash and zset of chords that are ready
--   deferred, messages     zset and hash of deferred messages
-- Each effect selects the database it needs; what comes after must do so too.
-- Returns: nothing; defines on_results, on_broker, store, join, grow, part, forget, push, send, record, record_and_send, bury, refused, fire, taken, unpark, free, unlock.

local broker_db, result_db, now, ready_key, ready_index, deferred, messages
local selected
local NONE = {}

local function on(db)
    if (selected or broker_db) ~= db then
        redis.call('SELECT', db)
        selected = db
    end
end

local function on_results() on(result_db) end
local function on_broker() on(broker_db) end

-- Whether a record tells of success, by its head: what a task has stored itself, further on, may read alike.
local function says_success(head)
    return string.find(head, '^{"status": ?"SUCCESS"') or string.find(head, '\166status\167SUCCESS', 1, true) == 2
end

-- s: {key, payload, ttl (0: for ever)}; a stored SUCCESS stays
local function store(s)
    local key, payload, ttl = s[1], s[2], s[3]
    if says_success(redis.call('GETRANGE', key, 0, 19)) then return end
    if ttl > 0 then redis.call('SETEX', key, ttl, payload) else redis.call('SET', key, payload) end
    redis.call('PUBLISH', key, payload)
end

-- By base, what is known of chords whose parts this script has counted, as long as nothing else is done to them.
local counted = {}

-- j: {base, size, ttl, structure or false}
local function join(j)
    local base, size, ttl = j[1], j[2], j[3]
    counted[base] = nil
    redis.call('DEL', base .. '.c')
    if ttl > 0 then redis.call('SET', base .. '.s', size, 'EX', ttl) else redis.call('SET', base .. '.s', size) end
    if j[4] then
        if ttl > 0 then redis.call('SET', base, j[4], 'EX', ttl) else redis.call('SET', base, j[4]) end
    end
end

local function grow(base)
    counted[base] = nil
    redis.call('INCRBY', base .. '.t', 1)
end

-- What is known of a chord that still takes parts; nil of one that takes none.
local function open_chord(base)
    if redis.call('GET', base .. '.c') == 'done' then return nil end
    return {count = redis.call('ZCARD', base .. '.j'), extra = tonumber(redis.call('GET', base .. '.t') or '0')}
end

-- How many parts a chord has, as far as its start has said.
local function size_of(known, base)
    if known.size == nil then known.size = tonumber(redis.call('GET', base .. '.s') or '') or false end
    return known.size
end

-- Count a part, each member's once.
local function add(known, base, p)
    local member, value = p[3], p[5]
    if redis.call('SISMEMBER', base .. '.d', member) == 1 then return end
    local added = redis.call('ZADD', base .. '.j', 'NX', p[4], value)
    -- One task that is two members of a header may return the same bytes twice; JSON ignores space at its end.
    while added == 0 and string.sub(value, 1, 1) == '[' do
        value = value .. ' '
        added = redis.call('ZADD', base .. '.j', 'NX', p[4], value)
    end
    redis.call('SADD', base .. '.d', member)
    known.count = known.count + added
end

-- Have a chord's keys last for ttl seconds, once in a script; whole: those of its start too.
local function prolong(known, base, ttl, whole)
    local lasting = (whole and 'whole ' or 'parts ') .. ttl
    if ttl <= 0 or known.lasting == lasting then return end
    local there = true
    for _, key in ipairs(whole and {'.t', '.s', '', '.d', '.j'} or {'.d', '.j'}) do
        there = redis.call('EXPIRE', base .. key, ttl) == 1
    end
    -- Its last is that of the parts: a key that is not there yet has to be prolonged again.
    if there then known.lasting = lasting end
end

-- p: {base, group id, member, score, value, fire, ttl, size or false: as a join said}; appends to found what is ready now
local function part(p, found)
    local base, ttl = p[1], p[7]
    local known = counted[base] or open_chord(base)
    counted[base] = nil
    if not known then return end
    add(known, base, p)
    prolong(known, base, ttl, not p[8])
    local size = tonumber(p[8]) or size_of(known, base)
    if not size or known.count ~= size + known.extra then
        counted[base] = known
        return
    end
    -- The claim keeps Celery's workers from firing too. The ready record outlives whoever fires.
    local claim = ttl > 0 and ttl or 86400
    if not redis.call('SET', base .. '.c', 'canvas', 'NX', 'EX', claim) then return end
    redis.call('HSET', ready_key, p[2], p[6])
    redis.call('ZADD', ready_index, now, p[2])
    found[#found + 1] = {p[2], p[6], redis.call('ZRANGE', base .. '.j', 0, -1), redis.call('GET', base)}
end

-- Forget a chord that is ready, because its body is sent or it failed. Returns 1 when it was still ready.
local function forget(group, base, failed)
    counted[base] = nil
    local held = redis.call('HDEL', ready_key, group)
    redis.call('ZREM', ready_index, group)
    if held == 0 then return 0 end
    if failed then
        redis.call('DEL', base .. '.s')
    else
        redis.call('DEL', base .. '.j', base .. '.t', base .. '.s', base .. '.d')
        redis.call('SET', base .. '.c', 'done', 'EX', 300)
    end
    return held
end

-- m: {list, payload, …}; a script that leases may put another function in its place
local function push(m)
    redis.call('LPUSH', unpack(m))
end

-- Send s.publishes, {m, …}, and s.deferrals, {{id, due, list, payload}, …}.
local function send(s)
    on_broker()
    for _, m in ipairs(s.publishes or NONE) do push(m) end
    for _, m in ipairs(s.deferrals or NONE) do
        redis.call('ZADD', deferred, m[2], m[1])
        redis.call('HSET', messages, m[1], cmsgpack.pack({m[3], m[4]}))
    end
end

-- The result side: s.stores, s.joins, s.grows, {base, …}, and s.parts; returns what became ready.
local function record(s)
    local found = {}
    if not (s.stores or s.joins or s.grows or s.parts) then return found end
    on_results()
    for _, one in ipairs(s.stores or NONE) do store(one) end
    for _, one in ipairs(s.joins or NONE) do join(one) end
    for _, base in ipairs(s.grows or NONE) do grow(base) end
    for _, one in ipairs(s.parts or NONE) do part(one, found) end
    return found
end

-- Both sides of s; returns what became ready.
local function record_and_send(s)
    local found = record(s)
    send(s)
    return found
end

local function server_time()
    local t = redis.call('TIME')
    return t[1] + t[2] / 1000000
end

-- Keep a message among so many dead letters, the newest first.
local function bury(letters, payload, reason, queue, kept)
    local time = tostring(now or server_time())
    redis.call('LPUSH', letters, cmsgpack.pack({payload = payload, reason = reason, queue = queue, time = time}))
    redis.call('LTRIM', letters, 0, kept - 1)
end

-- A verdict on what Redis will never do, because of a key's type or a value: {-1, why}. What was done of it before may
-- be done again. Any other failure is the whole script's, and is tried again.
local function refused(failure)
    local why = type(failure) == 'table' and failure.err or tostring(failure)
    for _, passing in ipairs({'OOM ', 'READONLY', 'MISCONF', 'NOREPLICAS', 'NOPERM', 'LOADING', 'MASTERDOWN', 'CLUSTERDOWN'}) do
        if string.find(why, passing, 1, true) then error(failure, 0) end
    end
    return {-1, why}
end

-- f: {group, base, failed, stores, joins, parts, publishes, deferrals}, by name; {held, outer chords that became ready}
local function fire(f)
    on_results()
    local held = redis.call('HEXISTS', ready_key, f.group)
    if held == 0 then return {0, {}} end
    local done, found = pcall(record_and_send, f)
    if not done then return refused(found) end
    on_results()
    forget(f.group, f.base, f.failed)
    return {1, found}
end

-- How many of a key's places are taken by messages that are still somebody's.
local function taken(places, unacked, begun_prefix)
    for _, tag in ipairs(redis.call('SMEMBERS', places)) do
        local worker = string.match(tag, '^canvas:(.*):[^:]*$')
        local runs = redis.call('HEXISTS', unacked, tag) == 1
            or (worker and redis.call('HEXISTS', begun_prefix .. worker, tag) == 1)
        if not runs then redis.call('SREM', places, tag) end
    end
    return redis.call('SCARD', places)
end

-- Give back up to so many parked messages of a key; returns how many.
local function unpark(parked, index, key, many)
    local count = 0
    while count < many do
        local packed = redis.call('LPOP', parked)
        if not packed then break end
        local m = cmsgpack.unpack(packed)
        redis.call('RPUSH', m[1], m[2])
        count = count + 1
    end
    if redis.call('EXISTS', parked) == 0 then redis.call('HDEL', index, key) end
    return count
end

-- f: {places, parked, index, key, begun_prefix}; a tag's place is free, and whoever waited longest may try.
local function free(f, tag, unacked)
    redis.call('SREM', f[1], tag)
    local left = taken(f[1], unacked, f[5])
    local limit = tonumber(redis.call('HGET', f[3], f[4]) or '0')
    if limit > left then unpark(f[2], f[3], f[4], limit - left) end
end

local function unlock(lock, owner)
    if redis.call('GET', lock) ~= owner then return 0 end
    return redis.call('DEL', lock)
end
