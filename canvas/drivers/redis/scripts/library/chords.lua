-- Chords: their starts, their parts and their ends, in Celery's keys and in canvas:alive, the zset of chords that have
-- not ended.
--
-- KEYS and ARGV are the script's, which has set the fields of context. The results' database is selected before and
-- after each function.
-- Returns: start_chord, extend_chord, keep_chord, count_part, count_parts, delete_ready, last_for.
-- Uses: context

-- The state of chords whose parts this script has counted, by base. An entry is removed before the script changes its
-- chord in any other way.
local chord_cache = {}

local WHOLE, OF_PARTS = {'.t', '.s', '', '.d', '.j'}, {'.d', '.j'}
-- Seconds without a part after which a chord whose size is unknown counts as lost. A Celery client sets the size just
-- before it sends the last message of the header, and a long header takes time to send.
local UNSIZED_FOR = 600
-- Parts that one command takes: unpack() is limited.
local AT_ONCE = 1000

-- Register a chord until it has had no part for ttl seconds (0: without an end). kind is the state of the chord.
-- 'kept:': it has started. 'counted:': a part of it is counted. 'run:': the same, of a join of a workflow's run.
local function register(kind, base, ttl)
    on_broker()
    redis.call('ZADD', context.alive_key, 'GT', ttl > 0 and context.now + ttl or '+inf', kind .. base)
    if ttl > 0 then redis.call('EXPIRE', context.alive_key, ttl) end
    on_results()
end

local function unregister(base)
    on_broker()
    redis.call('ZREM', context.alive_key, 'kept:' .. base, 'counted:' .. base, 'run:' .. base)
    on_results()
end

-- Whether a chord is registered, and whether it is registered with parts.
local function registered(base)
    on_broker()
    local found = redis.call('ZMSCORE', context.alive_key, 'kept:' .. base, 'counted:' .. base, 'run:' .. base)
    on_results()
    local parts = found[2] or found[3]
    return found[1] or parts, parts
end

-- Whether a chord is a join of a workflow's run with parts. Each part carries the size of a join: no key holds it.
local function is_join(base)
    on_broker()
    local found = redis.call('ZSCORE', context.alive_key, 'run:' .. base)
    on_results()
    return found
end

-- Have the keys of a chord last for ttl seconds at least.
local function last_for(base, ttl)
    for _, suffix in ipairs(WHOLE) do
        local left = redis.call('TTL', base .. suffix)
        if left >= 0 and left < ttl then redis.call('EXPIRE', base .. suffix, ttl) end
        if left >= 0 and ttl <= 0 then redis.call('PERSIST', base .. suffix) end
    end
end

-- k: {base, ttl}. A message of this chord may wait or run for ttl seconds, in which no other process renews the keys.
local function keep_chord(k)
    local base, ttl = k[1], k[2]
    local kind = nil
    if redis.call('EXISTS', base .. '.s') == 1 then
        kind = redis.call('EXISTS', base .. '.j') == 1 and 'counted:' or 'kept:'
    elseif is_join(base) then
        kind = 'run:'
    end
    if not kind then return end
    last_for(base, ttl)
    register(kind, base, ttl)
end

-- j: {base, size, ttl, structure or false}
local function start_chord(j)
    local base, size, ttl = j[1], j[2], j[3]
    chord_cache[base] = nil
    redis.call('DEL', base .. '.c')
    if ttl > 0 then redis.call('SET', base .. '.s', size, 'EX', ttl) else redis.call('SET', base .. '.s', size) end
    if j[4] then
        if ttl > 0 then redis.call('SET', base, j[4], 'EX', ttl) else redis.call('SET', base, j[4]) end
    end
    if not context.workers_key then return end
    on_broker()
    -- Celery's workers do not unregister a chord: it is registered only where a canvas worker is.
    if redis.call('EXISTS', context.workers_key) == 1 then
        redis.call('ZREM', context.alive_key, 'counted:' .. base)
        register('kept:', base, ttl)
    end
    on_results()
end

-- e: {base, id of the extension}. The chord waits for one part more; each extension counts once.
local function extend_chord(e)
    local base = e[1]
    chord_cache[base] = nil
    if redis.call('SADD', base .. '.d', 'extension:' .. e[2]) == 1 then redis.call('INCRBY', base .. '.t', 1) end
end

-- The state of a chord that takes parts; nil for a lost chord, which takes none. again: the chord has ended, and its
-- client may be sending it once more. A Celery client deletes the claim when it sets the size, just before the header's
-- last message.
local function open_chord(base, listed)
    local claim = redis.call('GET', base .. '.c')
    if claim == 'lost' then return nil end
    return {again = claim == 'done', count = redis.call(listed and 'LLEN' or 'ZCARD', base .. '.j'), extra = tonumber(redis.call('GET', base .. '.t') or '0')}
end

-- The size that the start of a chord has stored; false if there is none yet.
local function size_of(known, base)
    if known.size == nil then known.size = tonumber(redis.call('GET', base .. '.s') or '') or false end
    return known.size
end

-- Count a part, once for each member. Returns whether it was new. p[9]: result_chord_ordered is off, and the parts are
-- in a list, in the order in which they came, as Celery's workers keep them.
local function insert_part(known, base, p)
    local member, value = p[3], p[5]
    if redis.call('SISMEMBER', base .. '.d', member) == 1 then return false end
    local added = p[9] and 1 or redis.call('ZADD', base .. '.j', 'NX', p[4], value)
    if p[9] then redis.call('RPUSH', base .. '.j', value) end
    -- One task that is two members of a header may return the same bytes twice; JSON ignores space at its end.
    while added == 0 and string.sub(value, 1, 1) == '[' do
        value = value .. ' '
        added = redis.call('ZADD', base .. '.j', 'NX', p[4], value)
    end
    redis.call('SADD', base .. '.d', member)
    known.count = known.count + added
    return true
end

-- Set the time to live of a chord's parts, once in each run of a script; whole: of all keys of the chord.
local function set_ttl(known, base, ttl, whole)
    local lasting = (whole and 'whole ' or 'parts ') .. ttl
    if ttl <= 0 or known.lasting == lasting then return end
    local there = true
    for _, suffix in ipairs(whole and WHOLE or OF_PARTS) do
        there = redis.call('EXPIRE', base .. suffix, ttl) == 1
    end
    -- there: whether the last key, that of the parts, exists. If it does not, the next part sets the time again.
    if there then known.lasting = lasting end
end

-- Whether an incomplete chord, of which a part has just come, is lost: it is registered, but its size or its other
-- parts are gone. Registers a chord that is not lost.
local function is_lost(base, p, size, before)
    if size and before > 0 then return false end
    local any, parts = registered(base)
    if (parts and before == 0) or (any and not size) then return true end
    if size then register(p[8] and 'run:' or 'counted:', base, p[7]) end
    return false
end

-- Note a chord whose size is unknown: it may be lost, or its client is still sending it. unsized.lua decides that
-- later.
local function wait_for_size(p)
    redis.call('HSET', context.ready_key .. ':unsized', p[2], p[6])
    redis.call('ZADD', context.ready_key .. ':unsized:index', context.now + UNSIZED_FOR, p[2])
end

-- Go on after parts were counted. p: the last of them; before: how many parts there were; new: whether any was new.
-- Appends the chord to found if it is ready now.
local function after_part(base, p, known, before, new, found)
    local ttl = p[7]
    set_ttl(known, base, ttl, not p[8])
    local size = tonumber(p[8]) or size_of(known, base)
    local complete = size and known.count == size + known.extra
    local missed = new and not complete and not known.again
    local lost = missed and is_lost(base, p, size, before)
    if not complete and not lost then
        if missed and not size then wait_for_size(p) end
        chord_cache[base] = known
        return
    end
    -- The claim keeps Celery's workers from sending the body too. The ready record stays if the worker that is to send
    -- the body dies: another worker finds it.
    local claim = ttl > 0 and ttl or 86400
    if not redis.call('SET', base .. '.c', lost and 'lost' or 'canvas', 'NX', 'EX', claim) then return end
    redis.call('HSET', context.ready_key, p[2], p[6])
    redis.call('ZADD', context.ready_index, context.now, p[2])
    found[#found + 1] = {p[2], p[6], redis.call(p[9] and 'LRANGE' or 'ZRANGE', base .. '.j', 0, -1), redis.call('GET', base), lost and 1 or 0}
end

-- p: {base, group id, member, score, value, callback, ttl, size of the chord or false: as its start has stored it, true
-- if the parts are in a list}. Appends the chord to found if it is ready now.
local function count_part(p, found)
    local base = p[1]
    local known = chord_cache[base] or open_chord(base, p[9])
    chord_cache[base] = nil
    if not known then return end
    local before, new = known.count, insert_part(known, base, p)
    after_part(base, p, known, before, new, found)
end

-- Count parts of one chord as count_part does. Parts of a join of a workflow's run, whose values all differ, are
-- counted together.
local function count_parts(parts, found)
    local last = parts[#parts]
    local base = last[1]
    if not last[8] then
        for _, p in ipairs(parts) do count_part(p, found) end
        return
    end
    local known = chord_cache[base] or open_chord(base, false)
    chord_cache[base] = nil
    if not known then return end
    local before = known.count
    for first = 1, #parts, AT_ONCE do
        local members, new, scored = {}, {}, {}
        for i = first, math.min(first + AT_ONCE - 1, #parts) do members[#members + 1] = parts[i][3] end
        for i, counted in ipairs(redis.call('SMISMEMBER', base .. '.d', unpack(members))) do
            local p = parts[first + i - 1]
            if counted == 0 then
                new[#new + 1], scored[#scored + 1], scored[#scored + 2] = p[3], p[4], p[5]
            end
        end
        if #new > 0 then
            known.count = known.count + redis.call('ZADD', base .. '.j', 'NX', unpack(scored))
            redis.call('SADD', base .. '.d', unpack(new))
        end
    end
    after_part(base, last, known, before, known.count > before, found)
end

local function expire_in(key, seconds)
    if seconds and seconds > 0 then redis.call('EXPIRE', key, seconds) end
end

-- Delete a chord that is ready, because its body is sent or because it failed. The other keys of a failed chord, and
-- the structure of any, expire after `expires` seconds (0: unchanged). Returns 1 when the chord was still ready.
local function delete_ready(group, base, failed, expires)
    chord_cache[base] = nil
    local held = redis.call('HDEL', context.ready_key, group)
    redis.call('ZREM', context.ready_index, group)
    if held == 0 then return 0 end
    unregister(base)
    if failed then
        redis.call('DEL', base .. '.s')
        for _, suffix in ipairs({'.t', '.d', '.j', '.c'}) do expire_in(base .. suffix, expires) end
    else
        redis.call('DEL', base .. '.j', base .. '.t', base .. '.s', base .. '.d')
        redis.call('SET', base .. '.c', 'done', 'EX', 300)
    end
    expire_in(base, expires)
    return held
end

return {
    start_chord = start_chord, extend_chord = extend_chord, keep_chord = keep_chord, count_part = count_part,
    count_parts = count_parts, delete_ready = delete_ready, last_for = last_for,
}
