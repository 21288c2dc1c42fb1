-- The index of workflows' runs. All keys are in the results' database.
-- KEYS and ARGV are the script's. Each function gets the key of a run's hash, <prefix>canvas:run:<id>. The index is in
-- the keys below, where INDEX is <prefix>canvas:runs:
--   INDEX:listed               hash run → msgpack {created, state, {term, …}, name and key of an idempotent start or ''}
--   INDEX:<state>[:<term>]     zset run → created, unix time
--   INDEX:UNLISTED             zset run that is not listed, and waits or waited → unix time of the first wait
--   INDEX:until                zset run → when to check whether the run is still kept, unix time. A run of a LIVE state is
--                              first checked without it, at the time of its creation and the field 'kept' of INDEX:looked
--   INDEX:looked               hash state of LIVE → the latest creation time of its runs that were checked;
--                              'kept' → the shortest time for which a new run was kept, seconds
--   INDEX:keys                 hash name and key of an idempotent start → run
-- They expire with the last run that is listed in them.
-- Returns: index_of, list_run, set_run_state, keep_listed, keep_findable, waiting_runs, unlist_expired, run_of_key,
-- adopt_state, set_state_of_ended.

local LIVE = {'STARTED', 'PENDING', 'CANCELLING'}
local IF_CANCELLED = {FAILURE = 'CANCELLED', STARTED = 'CANCELLING', PENDING = 'CANCELLING'}

local function index_of(run_key)
    local runs, run = string.match(run_key, '^(.*canvas:run):(.*)$')
    return runs .. 's', run
end

local function unix_time()
    local clock = redis.call('TIME')
    return clock[1] + clock[2] / 1000000
end

local function run_key_of(index, run) return string.sub(index, 1, -2) .. ':' .. run end

local function listed(index, run)
    local packed = redis.call('HGET', index .. ':listed', run)
    return packed and cmsgpack.unpack(packed)
end

-- The keys in which a run in this state is listed.
local function listing_keys(index, entry, state)
    local found = {index .. ':' .. state}
    for _, term in ipairs(entry[3]) do found[#found + 1] = found[1] .. ':' .. term end
    return found
end

-- Prolong a key to at least ttl seconds; 0: without an end. new: the key was made just now, and has no expiry yet.
local function last_at_least(key, ttl, new)
    if ttl <= 0 then return redis.call('PERSIST', key) end
    local left = redis.call('TTL', key)
    if new or (left >= 0 and left < ttl) then redis.call('EXPIRE', key, ttl) end
end

-- Keep a run in the index for at least ttl seconds.
local function keep_listed(run_key, ttl)
    local index, run = index_of(run_key)
    local entry = listed(index, run)
    if not entry then return end
    for _, key in ipairs(listing_keys(index, entry, entry[2])) do last_at_least(key, ttl) end
    for _, name in ipairs({':listed', ':until', ':looked', ':keys'}) do last_at_least(index .. name, ttl) end
end

-- Let waiting_runs find a run that waits in a mailbox, is kept for ttl seconds, and may not be listed.
local function keep_findable(run_key, ttl, now)
    local index, run = index_of(run_key)
    if listed(index, run) then return end
    local key = index .. ':UNLISTED'
    local new = redis.call('EXISTS', key) == 0
    redis.call('ZADD', key, 'NX', now, run)
    last_at_least(key, ttl, new)
end

local function waits_in_mailbox(run_key)
    for _, field in ipairs(redis.call('HKEYS', run_key)) do
        if string.sub(field, 1, 2) == '@i' and string.sub(redis.call('HGET', run_key, field), 1, 1) == 'w' then
            return true
        end
    end
    return false
end

-- The runs in a page of a set that wait in a mailbox and expire within `milliseconds`: {the next cursor, {run, …}}.
local function waiting_runs(key, cursor, some, milliseconds)
    local after, entries = unpack(redis.call('ZSCAN', key, cursor, 'COUNT', some))
    local index, found = string.match(key, '^(.*):[^:]*$'), {}
    for at = 1, #entries, 2 do
        local run_key = run_key_of(index, entries[at])
        local left = redis.call('PTTL', run_key)
        if left == -2 and key == index .. ':UNLISTED' then redis.call('ZREM', key, entries[at]) end
        if left >= 0 and left < milliseconds and waits_in_mailbox(run_key) then found[#found + 1] = entries[at] end
    end
    return {after, found}
end

-- Let unlist_expired check a run in ttl seconds; 0: never.
local function look_after(index, run, ttl, now)
    if ttl <= 0 then return end
    local new = redis.call('EXISTS', index .. ':until') == 0
    redis.call('ZADD', index .. ':until', now + ttl, run)
    last_at_least(index .. ':until', math.ceil(ttl), new)
end

-- Whether runs of a state that were created then have been checked; runs of other states than LIVE need not be.
local function has_looked(index, state, created)
    for _, live in ipairs(LIVE) do
        if live == state then return created <= tonumber(redis.call('HGET', index .. ':looked', state) or '-inf') end
    end
    return true
end

-- Note for how long new runs are kept.
local function note_kept(index, ttl)
    local key = index .. ':looked'
    local known = tonumber(redis.call('HGET', key, 'kept'))
    if known and known <= ttl then return end
    redis.call('HSET', key, 'kept', ttl)
    last_at_least(key, ttl, not known)
end

local function write_entry(index, run, entry, ttl)
    for _, key in ipairs(listing_keys(index, entry, entry[2])) do
        local new = redis.call('EXISTS', key) == 0
        redis.call('ZADD', key, entry[1], run)
        last_at_least(key, ttl, new)
    end
    local new = redis.call('EXISTS', index .. ':listed') == 0
    redis.call('HSET', index .. ':listed', run, cmsgpack.pack(entry))
    last_at_least(index .. ':listed', ttl, new)
end

local function remove_entry(index, run, entry)
    for _, key in ipairs(listing_keys(index, entry, entry[2])) do redis.call('ZREM', key, run) end
end

-- List a new run, which is kept for ttl seconds (0: without an end). A run that is listed stays as it is.
local function list_run(run_key, entry, ttl, now)
    local index, run = index_of(run_key)
    if listed(index, run) then return end
    write_entry(index, run, entry, ttl)
    if ttl > 0 then
        note_kept(index, ttl)
        if entry[1] > now or has_looked(index, entry[2], entry[1]) then look_after(index, run, ttl, now) end
    end
    if entry[4] ~= '' then
        local new = redis.call('EXISTS', index .. ':keys') == 0
        redis.call('HSET', index .. ':keys', entry[4], run)
        last_at_least(index .. ':keys', ttl, new)
    end
end

-- List a run under another state. before: do so only if the run is listed under this state.
local function set_run_state(run_key, state, before)
    local index, run = index_of(run_key)
    local entry = listed(index, run)
    if not entry or (before and entry[2] ~= before) then return end
    local cancelled, attempt = unpack(redis.call('HMGET', run_key, 'cancelled', 'attempt'))
    if cancelled and cancelled == attempt then state = IF_CANCELLED[state] or state end
    if state == entry[2] then return end
    remove_entry(index, run, entry)
    entry[2] = state
    write_entry(index, run, entry, math.max(0, redis.call('TTL', index .. ':listed')))
    if has_looked(index, state, entry[1]) then look_after(index, run, redis.call('TTL', run_key), unix_time()) end
end

-- List a run again after its fields have changed: a run that is cancelled is listed under another state.
local function adopt_state(run_key)
    local index, run = index_of(run_key)
    local entry = listed(index, run)
    if entry then set_run_state(run_key, entry[2]) end
end

-- List a run under the state of an entry, for a run that was carried out in the process that saves it. An entry of a
-- start has the state PENDING, and changes nothing.
local function set_state_of_ended(run_key, entry)
    if entry[2] ~= 'PENDING' then set_run_state(run_key, entry[2]) end
end

-- The run that was started under this name and key, if it is still kept.
local function run_of_key(index, name_and_key)
    local run = redis.call('HGET', index .. ':keys', name_and_key)
    return run and redis.call('EXISTS', run_key_of(index, run)) == 1 and run
end

local function unlist(index, run)
    local entry = listed(index, run)
    redis.call('ZREM', index .. ':until', run)
    if not entry then return end
    remove_entry(index, run, entry)
    redis.call('HDEL', index .. ':listed', run)
    if entry[4] ~= '' and redis.call('HGET', index .. ':keys', entry[4]) == run then
        redis.call('HDEL', index .. ':keys', entry[4])
    end
end

-- Remove a run that is not kept any more; check another one again when it may not be kept any more.
local function look_at(index, run, now)
    local left = redis.call('PTTL', run_key_of(index, run))
    if left == -2 then
        unlist(index, run)
    elseif left == -1 then
        redis.call('ZREM', index .. ':until', run)
    else
        look_after(index, run, (left + 1) / 1000, now)
    end
end

-- Check the next runs of a LIVE state that were created until then. Returns how many.
local function look_at_live(index, state, created, now, some)
    local looked = redis.call('HGET', index .. ':looked', state) or '-inf'
    if tonumber(looked) >= created then return 0 end
    -- The text of a time is exact; Lua rounds a number that it makes a part of a text.
    local runs = redis.call('ZRANGEBYSCORE', index .. ':' .. state, '(' .. looked, created, 'WITHSCORES', 'LIMIT', 0, some)
    local full, last = #runs == 2 * some, runs[#runs]
    if full then
        -- Runs that were created at the same time are checked together.
        for _, run in ipairs(redis.call('ZRANGEBYSCORE', index .. ':' .. state, last, last)) do look_at(index, run, now) end
    end
    for at = 1, #runs, 2 do look_at(index, runs[at], now) end
    redis.call('HSET', index .. ':looked', state, full and last or created)
    return #runs / 2
end

-- Remove runs from the index that are not kept any more. Checks at most `some` runs of ':until' and of each LIVE state;
-- with `later`, those of LIVE states at most once a second. Returns the largest of the numbers of checked runs.
local function unlist_expired(index, now, some, later)
    local over = redis.call('ZRANGEBYSCORE', index .. ':until', '-inf', now, 'LIMIT', 0, some)
    for _, run in ipairs(over) do look_at(index, run, now) end
    local kept, looked = unpack(redis.call('HMGET', index .. ':looked', 'kept', LIVE[1]))
    local most, created = #over, kept and now - kept
    if not kept or (later and looked and created - looked < 1) then return most end
    for _, state in ipairs(LIVE) do most = math.max(most, look_at_live(index, state, created, now, some)) end
    return most
end

return {
    index_of = index_of, list_run = list_run, set_run_state = set_run_state, keep_listed = keep_listed,
    keep_findable = keep_findable, waiting_runs = waiting_runs,
    unlist_expired = unlist_expired, run_of_key = run_of_key, adopt_state = adopt_state,
    set_state_of_ended = set_state_of_ended,
}
