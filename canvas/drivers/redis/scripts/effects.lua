-- The effects of a settlement, or of the end of a chord, as functions; loaded in front of the scripts that use them.
--
-- KEYS and ARGV are the loading script's. It has set these locals before calling:
--   broker_db, result_db   database numbers
--   now                    unix time, seconds, of this server
--   ready_key, ready_index hash and zset of chords that are ready
--   deferred, messages     zset and hash of deferred messages
--   alive_key              zset of chords that live, in the broker's database
--   workers_key            hash of canvas' workers there; false where it is on another server
-- Each effect selects the database it needs; what comes after must do so too.
-- Returns: nothing; defines on_results, on_broker, store, start_chord, extend_chord, count_part, keep_chord, delete_ready, push, send,
-- record, record_and_send, dead_letter, refusal_or_raise, dispatch_chord, permits_in_use, block, enqueue_blocked, release_permit, release_lock.

local broker_db, result_db, now, ready_key, ready_index, deferred, messages, alive_key, workers_key
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

-- s: {key, payload, ttl (0: never expires), whether it is a success, of a workflow's run: its hash and its state}; a
-- stored SUCCESS stays
local function store(s)
    local key, payload, ttl = s[1], s[2], s[3]
    local head = redis.call('GETRANGE', key, 0, 19)
    if says_success(head) then return end
    if head ~= '' and not shows_state(head) and is_marked(key) then return end
    set_for(key, payload, ttl)
    if s[4] and not shows_state(payload) then set_for(mark_of(key), redis.sha1hex(payload), ttl) end
    redis.call('PUBLISH', key, payload)
    if s[5] then set_run_state(s[5], s[6]) end
end

-- By base, what is known of chords whose parts this script has counted, as long as it does nothing else to them.
local chord_cache = {}

local WHOLE, OF_PARTS = {'.t', '.s', '', '.d', '.j'}, {'.d', '.j'}
-- Seconds without a part after which a chord whose size is unknown is taken for lost. A Celery client sets the size
-- just before it sends the last message of the header, and may take its time to get there.
local UNSIZED_FOR = 600

-- Note that a chord lives until it has had no part for ttl seconds (0: always). kind says what is known of it: 'kept:'
-- it has started, 'counted:' a part of it is counted, 'run:' it is a join of a workflow's run, and a part is counted.
local function register(kind, base, ttl)
    on_broker()
    redis.call('ZADD', alive_key, 'GT', ttl > 0 and now + ttl or '+inf', kind .. base)
    if ttl > 0 then redis.call('EXPIRE', alive_key, ttl) end
    on_results()
end

local function unregister(base)
    on_broker()
    redis.call('ZREM', alive_key, 'kept:' .. base, 'counted:' .. base, 'run:' .. base)
    on_results()
end

-- Whether a chord is registered at all, and whether with parts.
local function registered(base)
    on_broker()
    local found = redis.call('ZMSCORE', alive_key, 'kept:' .. base, 'counted:' .. base, 'run:' .. base)
    on_results()
    local parts = found[2] or found[3]
    return found[1] or parts, parts
end

-- Have the keys of a chord last for ttl seconds at least.
local function last_for(base, ttl)
    for _, suffix in ipairs(WHOLE) do
        local left = redis.call('TTL', base .. suffix)
        if left >= 0 and left < ttl then redis.call('EXPIRE', base .. suffix, ttl) end
        if left >= 0 and ttl <= 0 then redis.call('PERSIST', base .. suffix) end
    end
end

-- k: {base, ttl}; a message of this chord waits or runs, and nobody else may keep its keys for so long.
local function keep_chord(k)
    local base, ttl = k[1], k[2]
    if redis.call('EXISTS', base .. '.s') == 0 then return end
    last_for(base, ttl)
    register(redis.call('EXISTS', base .. '.j') == 1 and 'counted:' or 'kept:', base, ttl)
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
    if not workers_key then return end
    on_broker()
    -- Where only Celery's workers are, nobody would take the note away again.
    if redis.call('EXISTS', workers_key) == 1 then
        redis.call('ZREM', alive_key, 'counted:' .. base)
        register('kept:', base, ttl)
    end
    on_results()
end

-- e: {base, the member that the addition is}; each counts once
local function extend_chord(e)
    local base = e[1]
    chord_cache[base] = nil
    if redis.call('SADD', base .. '.d', 'extension:' .. e[2]) == 1 then redis.call('INCRBY', base .. '.t', 1) end
end

-- What is known of a chord that still takes parts; nil of one that takes none. again: it has ended, and its client may be
-- sending it once more. A Celery client withdraws the claim with the size, just before the header's last message.
local function open_chord(base)
    local claim = redis.call('GET', base .. '.c')
    if claim == 'lost' then return nil end
    return {again = claim == 'done', count = redis.call('ZCARD', base .. '.j'), extra = tonumber(redis.call('GET', base .. '.t') or '0')}
end

-- How many parts a chord has, as far as its start has said.
local function size_of(known, base)
    if known.size == nil then known.size = tonumber(redis.call('GET', base .. '.s') or '') or false end
    return known.size
end

-- Count a part, each member's once; whether it was new.
local function insert_part(known, base, p)
    local member, value = p[3], p[5]
    if redis.call('SISMEMBER', base .. '.d', member) == 1 then return false end
    local added = redis.call('ZADD', base .. '.j', 'NX', p[4], value)
    -- One task that is two members of a header may return the same bytes twice; JSON ignores space at its end.
    while added == 0 and string.sub(value, 1, 1) == '[' do
        value = value .. ' '
        added = redis.call('ZADD', base .. '.j', 'NX', p[4], value)
    end
    redis.call('SADD', base .. '.d', member)
    known.count = known.count + added
    return true
end

-- Have a chord's keys last for ttl seconds, once in a script; whole: those of its start too.
local function set_ttl(known, base, ttl, whole)
    local lasting = (whole and 'whole ' or 'parts ') .. ttl
    if ttl <= 0 or known.lasting == lasting then return end
    local there = true
    for _, suffix in ipairs(whole and WHOLE or OF_PARTS) do
        there = redis.call('EXPIRE', base .. suffix, ttl) == 1
    end
    -- Its last is that of the parts: a key that is not there yet has to be prolonged again.
    if there then known.lasting = lasting end
end

-- Whether a chord, of which a part has just come and others are missing, has had more before: a size, or other parts.
local function is_lost(base, p, size, before)
    if size and before > 0 then return false end
    local any, parts = registered(base)
    if (parts and before == 0) or (any and not size) then return true end
    if size then register(p[8] and 'run:' or 'counted:', base, p[7]) end
    return false
end

-- A chord whose size is unknown may be lost, or its client is still sending it.
local function wait_for_size(p)
    redis.call('HSET', ready_key .. ':unsized', p[2], p[6])
    redis.call('ZADD', ready_key .. ':unsized:index', now + UNSIZED_FOR, p[2])
end

-- p: {base, group id, member, score, value, callback, ttl, size or false: as its start said}; appends to found what is ready now
local function count_part(p, found)
    local base, ttl = p[1], p[7]
    local known = chord_cache[base] or open_chord(base)
    chord_cache[base] = nil
    if not known then return end
    local before, new = known.count, insert_part(known, base, p)
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
    -- The claim keeps Celery's workers from sending the body too. The ready record outlives the worker that sends it.
    local claim = ttl > 0 and ttl or 86400
    if not redis.call('SET', base .. '.c', lost and 'lost' or 'canvas', 'NX', 'EX', claim) then return end
    redis.call('HSET', ready_key, p[2], p[6])
    redis.call('ZADD', ready_index, now, p[2])
    found[#found + 1] = {p[2], p[6], redis.call('ZRANGE', base .. '.j', 0, -1), redis.call('GET', base), lost and 1 or 0}
end

-- The name of a mailbox's field in the hash of its run.
local function mail_field(mailbox, name) return 'mail:' .. name .. '\0' .. mailbox end

-- Put a value at the end of a mailbox's list, or take the first that is there. A list is numbered fields of the hash.
local function append_mail(run, mailbox, list, value)
    redis.call('HSET', run, mail_field(mailbox, list .. redis.call('HINCRBY', run, mail_field(mailbox, list .. 'last'), 1)), value)
end

local function pop_mail(run, mailbox, list)
    local last = tonumber(redis.call('HGET', run, mail_field(mailbox, list .. 'last')) or '0')
    local first = tonumber(redis.call('HGET', run, mail_field(mailbox, list .. 'first')) or '1')
    while first <= last do
        local field = mail_field(mailbox, list .. first)
        local value = redis.call('HGET', run, field)
        redis.call('HDEL', run, field)
        first = first + 1
        redis.call('HSET', run, mail_field(mailbox, list .. 'first'), first)
        if value then return value end
    end
end

-- What is known of a wait, or of a value, by its id: 'done'; 'value:' and the value that it will get; or of a wait that
-- has none, 'waits:' and msgpack {group id, ttl}. In the group id, and in the callback, \1 stands for the run's id.
local function mail_state(run, mailbox, id, state)
    local field = mail_field(mailbox, 'id:' .. id)
    if state then return redis.call('HSET', run, field, state) end
    return redis.call('HGET', run, field)
end

-- Give a wait, {group id, callback, ttl}, its value, or end it without one. Its callback is in a field of its own: Redis
-- needs less memory for a hash of short values.
local function end_wait(run, mailbox, id, wait, value, groups, found)
    redis.call('HDEL', run, mail_field(mailbox, 'callback:' .. id))
    mail_state(run, mailbox, id, 'done')
    if value then count_part({groups .. wait[1], wait[1], id, '0', value, wait[2], wait[3], 1}, found) end
end

local function replaced(text, old, new)
    local first, last = string.find(text, old, 1, true)
    return first and string.sub(text, 1, first - 1) .. new .. string.sub(text, last + 1) or text
end

local function run_id_of(run) return string.match(run, '^.*canvas:run:(.*)$') end

local function waiting(run, mailbox, id)
    local state = mail_state(run, mailbox, id)
    if not state or string.sub(state, 1, 6) ~= 'waits:' then return nil end
    local group, ttl = unpack(cmsgpack.unpack(string.sub(state, 7)))
    local callback = redis.call('HGET', run, mail_field(mailbox, 'callback:' .. id))
    if string.sub(group, 1, 1) ~= '\1' then return {group, callback, ttl} end
    return {replaced(group, '\1', run_id_of(run)), replaced(callback, '\1', run_id_of(run)), ttl}
end

local function begin_wait(run, mailbox, id, wait)
    local run_id, group, callback = run_id_of(run), wait[1], wait[2]
    if string.sub(group, 1, #run_id) == run_id and not string.find(callback, '\1', 1, true) then
        group, callback = '\1' .. string.sub(group, #run_id + 1), replaced(callback, run_id, '\1')
    end
    mail_state(run, mailbox, id, 'waits:' .. cmsgpack.pack({group, wait[3]}))
    redis.call('HSET', run, mail_field(mailbox, 'callback:' .. id), callback)
    append_mail(run, mailbox, 'w', id)
end

local mail_steps = {}

function mail_steps.post(run, mailbox, b, found)
    if mail_state(run, mailbox, b[4]) then return end
    mail_state(run, mailbox, b[4], 'done')
    local id = pop_mail(run, mailbox, 'w')
    -- The wait of an id that was resolved is gone; its id is still in the list.
    while id and not waiting(run, mailbox, id) do id = pop_mail(run, mailbox, 'w') end
    if not id then return append_mail(run, mailbox, 'v', b[5]) end
    end_wait(run, mailbox, id, waiting(run, mailbox, id), b[5], b[6], found)
end

function mail_steps.take(run, mailbox, b, found)
    local state, wait = mail_state(run, mailbox, b[4]), {b[7], b[8], b[9]}
    if state and string.sub(state, 1, 6) ~= 'value:' then return end
    local left = redis.call('TTL', run)
    if left >= 0 and left < b[10] then
        redis.call('EXPIRE', run, b[10])
        keep_listed(run, b[10])
    end
    if left >= 0 then keep_findable(run, math.max(left, b[10]), now or server_time()) end
    local value = state and string.sub(state, 7) or pop_mail(run, mailbox, 'v')
    if value then return end_wait(run, mailbox, b[4], wait, value, b[6], found) end
    begin_wait(run, mailbox, b[4], wait)
end

function mail_steps.resolve(run, mailbox, b, found)
    local state = mail_state(run, mailbox, b[4])
    if not state then return mail_state(run, mailbox, b[4], b[5] and 'value:' .. b[5] or 'done') end
    local wait = waiting(run, mailbox, b[4])
    if wait then end_wait(run, mailbox, b[4], wait, b[5], b[6], found) end
end

-- b: {run, mailbox, kind of step, id, value or false, start of the bases of groups, group id, callback, ttl, seconds to
-- keep the run for}, as MailboxStep says
local function change_mailbox(b, found)
    local run, mailbox, kind = b[1], b[2], b[3]
    if redis.call('EXISTS', run) == 1 then mail_steps[kind](run, mailbox, b, found) end
end

local function expire_in(key, seconds)
    if seconds and seconds > 0 then redis.call('EXPIRE', key, seconds) end
end

-- Forget a chord that is ready, because its body is sent or it failed; what is left of one that failed expires after so
-- many seconds (0: as it is). Returns 1 when it was still ready.
local function delete_ready(group, base, failed, expires)
    chord_cache[base] = nil
    local held = redis.call('HDEL', ready_key, group)
    redis.call('ZREM', ready_index, group)
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

-- The result side: s.stores, s.joins, s.extensions, s.keeps, s.parts and s.mail; returns what became ready.
local function record(s)
    local found = {}
    if not (s.stores or s.joins or s.extensions or s.keeps or s.parts or s.mail) then return found end
    on_results()
    for _, one in ipairs(s.stores or NONE) do store(one) end
    for _, one in ipairs(s.joins or NONE) do start_chord(one) end
    for _, one in ipairs(s.extensions or NONE) do extend_chord(one) end
    for _, one in ipairs(s.keeps or NONE) do keep_chord(one) end
    for _, one in ipairs(s.parts or NONE) do count_part(one, found) end
    for _, one in ipairs(s.mail or NONE) do change_mailbox(one, found) end
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
local function dead_letter(letters, payload, reason, queue, kept)
    local time = tostring(now or server_time())
    redis.call('LPUSH', letters, cmsgpack.pack({payload = payload, reason = reason, queue = queue, time = time}))
    redis.call('LTRIM', letters, 0, kept - 1)
end

-- A verdict on what Redis will never do, because of a key's type or a value: {-1, why}. What was done of it before may
-- be done again. Any other failure is the whole script's, and is tried again.
local function refusal_or_raise(failure)
    local why = type(failure) == 'table' and failure.err or tostring(failure)
    for _, passing in ipairs({'OOM ', 'READONLY', 'MISCONF', 'NOREPLICAS', 'NOPERM', 'LOADING', 'MASTERDOWN', 'CLUSTERDOWN'}) do
        if string.find(why, passing, 1, true) then error(failure, 0) end
    end
    return {-1, why}
end

-- f: {group, base, failed, expires, stores, joins, parts, publishes, deferrals}, by name; {held, outer chords that became ready}
local function dispatch_chord(f)
    on_results()
    local held = redis.call('HEXISTS', ready_key, f.group)
    if held == 0 then return {0, {}} end
    local done, found = pcall(record_and_send, f)
    if not done then return refusal_or_raise(found) end
    on_results()
    delete_ready(f.group, f.base, f.failed, f.expires)
    return {1, found}
end

-- How many of a key's places are taken by messages that are still somebody's.
local function permits_in_use(places, unacked, early_acked_prefix)
    for _, tag in ipairs(redis.call('SMEMBERS', places)) do
        local worker = string.match(tag, '^canvas:(.*):[^:]*$')
        local runs = redis.call('HEXISTS', unacked, tag) == 1
            or (worker and redis.call('HEXISTS', early_acked_prefix .. worker, tag) == 1)
        if not runs then redis.call('SREM', places, tag) end
    end
    return redis.call('SCARD', places)
end

-- Let a leased message wait for one of so many places of a key. k: {parked, index, unacked, unacked_index, leases of its
-- worker}. Returns 0 when the lease was lost before.
local function block(k, tag, limit, key, list, payload)
    if redis.call('HDEL', k[3], tag) == 0 then return 0 end
    redis.call('ZREM', k[4], tag)
    redis.call('SREM', k[5], tag)
    redis.call('RPUSH', k[1], cmsgpack.pack({list, payload}))
    redis.call('HSET', k[2], key, limit)
    return 1
end

-- Give back up to so many parked messages of a key; returns how many.
local function enqueue_blocked(parked, index, key, many)
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

-- f: {places, parked, index, key, early_acked_prefix}; a tag's permit is free, and the message that has waited longest may try.
local function release_permit(f, tag, unacked)
    redis.call('SREM', f[1], tag)
    local left = permits_in_use(f[1], unacked, f[5])
    local limit = tonumber(redis.call('HGET', f[3], f[4]) or '0')
    if limit > left then enqueue_blocked(f[2], f[3], f[4], limit - left) end
end

local function release_lock(lock, owner)
    if redis.call('GET', lock) ~= owner then return 0 end
    return redis.call('DEL', lock)
end
