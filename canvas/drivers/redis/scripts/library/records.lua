-- The records of tasks. A stored success is never overwritten.
--
-- KEYS and ARGV are the script's. The records' database is selected.
-- Returns: store_first, store.
-- Uses: runs

-- Whether a record is a success, by its first bytes: a value that a task has stored may contain the same text further on.
local function says_success(head)
    return string.find(head, '^{"status": ?"SUCCESS"') or string.find(head, '\166status\167SUCCESS', 1, true) == 2
end

-- Whether a record's head shows its state at all: one that is compressed or pickled does not.
local function shows_state(head)
    return string.find(head, '^{"status"') or string.find(head, '\166status', 1, true) == 2
end

-- The mark of a success whose bytes do not show it: their SHA-1.
local function mark_of(key) return key .. ':success' end

local function is_marked(key)
    local mark = redis.call('GET', mark_of(key))
    return mark and mark == redis.sha1hex(redis.call('GET', key))
end

local function set_for(key, value, ttl)
    if ttl > 0 then redis.call('SETEX', key, ttl, value) else redis.call('SET', key, value) end
end

-- Store a record if there is none, and publish it. Returns whether it was stored.
local function store_first(key, record, ttl)
    local stored
    if ttl > 0 then
        stored = redis.call('SET', key, record, 'EX', ttl, 'NX')
    else
        stored = redis.call('SET', key, record, 'NX')
    end
    if stored then redis.call('PUBLISH', key, record) end
    return stored
end

local function store_over(key, record, ttl, success)
    local head = redis.call('GETRANGE', key, 0, 19)
    if says_success(head) then return false end
    if head ~= '' and not shows_state(head) and is_marked(key) then return false end
    set_for(key, record, ttl)
    if success and not shows_state(record) then set_for(mark_of(key), redis.sha1hex(record), ttl) end
    redis.call('PUBLISH', key, record)
    return true
end

local function has_begun_later(run_key, attempt)
    return (tonumber(redis.call('HGET', run_key, 'attempt')) or 0) > attempt
end

-- s: {key, payload, ttl (0: never expires), whether it is a success}; for a workflow's run also its hash, its state and
-- the attempt. A stored success stays, and the record of an attempt before the latest one is not stored.
local function store(s)
    local key, record, ttl, success = s[1], s[2], s[3], s[4]
    if s[5] and has_begun_later(s[5], s[7]) then return end
    -- A success that needs a mark gets it before it is published: store_over does that.
    local stored = (not success or shows_state(record)) and store_first(key, record, ttl)
    stored = stored or store_over(key, record, ttl, success)
    if stored and s[5] then use('runs').set_run_state(s[5], s[6]) end
end

return {store_first = store_first, store = store}
