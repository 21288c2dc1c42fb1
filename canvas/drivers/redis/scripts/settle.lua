-- End chords, commit a batch of settlements, each whole or not at all, and lease more messages.
--
-- KEYS[1] unacked   KEYS[2] unacked_index   KEYS[3] leases of this worker   KEYS[4] canvas:delayed
-- KEYS[5] canvas:delayed:messages   KEYS[6] canvas:chords:ready   KEYS[7] canvas:chords:ready_since
-- KEYS[8] canvas:revoked:version   KEYS[9] hash of the reasons of orphans   KEYS[10] canvas:alive
-- KEYS[11] canvas:workers   KEYS[12…] lists to lease from, in order
-- ARGV[1] broker db   ARGV[2] result db   ARGV[3] settlements, msgpack:
--     in the general form, a table of these fields, as far as the settlement has them:
--       tag; fence: "lease", "early_acked" or "none"
--       runs, stores, chord_starts, extensions, keeps, parts, mail, publishes, deferrals: as in library/effects.lua
--         one of publishes may be {list, false, length of the bytes after its payload in the last of ARGV, queue}
--       early_ack: whether to ack the message early; early_acked: hash of the messages that its worker has acked early
--       permits to release: {{permits, blocked, hash of keys with blocked messages, key, prefix of early-acked}, …}
--       locks to release: {{lock, owner}, …}
--       dead: {list of dead letters, payload, reason, queue, how many to keep}
--       speculative ends of chords: {{group, SHA-1 of the parts that it takes, msgpack: as dispatch_chord.lua, the
--         callback that the chord must have or false}, …}
--     in the plain form, of an ack and a stored success alone, {tag, key, record, seconds to keep it (0: always)}
--       The fence is "lease". A long record is passed in ARGV[8…] after the names of the queues, and here is its number
--       among these. With the message in the last of ARGV: {…, {list, false, length of the bytes after its payload,
--       queue}}. With one part of a chord: {…, false, part}
-- ARGV[4] how many to lease   ARGV[5] tag prefix   ARGV[6] number of the first tag
-- ARGV[7] chords to end, msgpack: {as dispatch_chord.lua, …}   ARGV[8…] the queue name of each list; then either the
--     long records, or the only message that is sent, if it may be leased at once: as in unacked, [payload,"",queue]
-- Returns {verdicts, deliveries, version of the revocations, verdicts on chords, unix time: seconds, and microseconds}
--     verdict: 1: committed; 0: the lease was lost; if chords became ready or ended, {1, ready chords {group, callback,
--     parts, structure, 1 if it is lost}, groups of the chords that a speculative end has ended}; {-1, why} if it
--     cannot be committed
--     deliveries: for each list {payload, …, queue}; the payload of the message in the last of ARGV is nil. Their tags
--     have the numbers from ARGV[6] on, in this order
-- Uses: context, records, chords, permits, effects

local clock = redis.call('TIME')
context.broker_db, context.result_db, context.now = ARGV[1], ARGV[2], clock[1] + clock[2] / 1000000
context.deferred, context.messages, context.ready_key, context.ready_index = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
context.alive_key, context.workers_key = KEYS[10], KEYS[11]
local AT_ONCE, FIRST_LIST = 1000, 12
local OBJECT = string.byte('{')

-- New leases: tags and records for unacked, times and tags for its index; how many more messages are wanted.
local new = {hashed = {}, scored = {}, tags = {}, deliveries = {}, wanted = tonumber(ARGV[4]), number = tonumber(ARGV[6])}
-- Whole seconds: Redis keeps a small sorted set as a list of numbers, and reads and compares whole ones in a fraction of
-- the time.
new.time = clock[1]

-- Lease a message by its record, as in unacked.
local function lease(record)
    local tag, at = ARGV[5] .. new.number, #new.tags + 1
    new.number, new.wanted = new.number + 1, new.wanted - 1
    new.hashed[2 * at - 1], new.hashed[2 * at] = tag, record
    new.scored[2 * at - 1], new.scored[2 * at] = new.time, tag
    new.tags[at] = tag
end

local function keep_leases()
    if #new.tags == 0 then return end
    on_broker()
    for first = 1, #new.tags, AT_ONCE do
        local last = math.min(first + AT_ONCE - 1, #new.tags)
        redis.call('HSET', KEYS[1], unpack(new.hashed, first * 2 - 1, last * 2))
        redis.call('ZADD', KEYS[2], unpack(new.scored, first * 2 - 1, last * 2))
        redis.call('SADD', KEYS[3], unpack(new.tags, first, last))
    end
    new.hashed, new.scored, new.tags = {}, {}, {}
end

-- Whether the messages of plain settlements are leased, by tag. One command reads the index for all of them. A message
-- that is not in the index is looked up in unacked, in the general form.
local leased = {}

local function look_at_leases(settlements)
    local tags = {}
    for _, s in ipairs(settlements) do tags[#tags + 1] = s[1] end
    if #tags == 0 then return end
    on_broker()
    for first = 1, #tags, AT_ONCE do
        local last = math.min(first + AT_ONCE - 1, #tags)
        for n, score in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(tags, first, last))) do
            leased[tags[first + n - 1]] = score and true
        end
    end
end

local function acknowledge_tags(tags)
    for first = 1, #tags, AT_ONCE do
        local last = math.min(first + AT_ONCE - 1, #tags)
        redis.call('HDEL', KEYS[1], unpack(tags, first, last))
        redis.call('ZREM', KEYS[2], unpack(tags, first, last))
        redis.call('SREM', KEYS[3], unpack(tags, first, last))
    end
end

-- Settle the plain settlements whose message is leased and whose task has no record yet. The others get the general
-- form; so do those whose parts of a chord are refused, because each part gets its own verdict there. Returns whether
-- all are settled.
local function settle_plain(settlements, verdicts)
    local plain, done, chords, n = {}, {}, {}, 0
    for i, s in ipairs(settlements) do if s[1] then plain[#plain + 1] = i end end
    if #plain == 0 then return false end
    -- Lua hashes each string that a script makes, also by unpacking: a string of a megabyte takes a millisecond.
    local function record_of(s) return type(s[3]) == 'number' and ARGV[8 + #KEYS - FIRST_LIST + s[3]] or s[3] end
    local function store_each()
        local store_first = use('records').store_first
        while n < #plain do
            n = n + 1
            local i = plain[n]
            local s = settlements[i]
            local tag, message, part = s[1], s[5], s[6]
            if leased[tag] and store_first(s[2], record_of(s), s[4]) then
                if part then
                    chords[part[1]] = chords[part[1]] or {}
                    table.insert(chords[part[1]], i)
                else
                    if message then
                        on_broker()
                        context.push(message)
                    end
                    verdicts[i], done[#done + 1] = 1, tag
                end
            end
        end
    end
    on_results()
    repeat
        local whole, why = pcall(store_each)
        if not whole then verdicts[plain[n]] = refusal_or_raise(why) end
    until whole
    -- Count the parts by chord. places: the numbers of the settlements that have a part of it.
    for _, places in pairs(chords) do
        on_results()
        local parts, ready = {}, {}
        for at, i in ipairs(places) do parts[at] = settlements[i][6] end
        local whole, why = pcall(use('chords').count_parts, parts, ready)
        if not whole then refusal_or_raise(why) end
        for _, i in ipairs(whole and places or NONE) do verdicts[i], done[#done + 1] = 1, settlements[i][1] end
        if #ready > 0 and whole then verdicts[places[#places]] = {1, ready} end
    end
    on_broker()
    if #done > 0 then acknowledge_tags(done) end
    if #done == #settlements then return true end
    for _, i in ipairs(plain) do
        if not verdicts[i] then
            local s = settlements[i]
            settlements[i] = {tag = s[1], fence = 'lease', stores = {{s[2], record_of(s), s[4], true}}, publishes = s[5] and {s[5]}, parts = s[6] and {s[6]}}
        end
    end
    return false
end

-- The function for settlements in the general form. It is made only when it is needed, because that takes time.
local function general()
    local function is_held(s)
        if not s.tag or s.fence == 'none' then return true end
        if s.fence ~= 'early_acked' and redis.call('HEXISTS', KEYS[1], s.tag) == 1 then return true end
        -- A tag is never used again: if it is acked early already, this call was made before, and its reply was lost.
        return (s.fence == 'early_acked' or s.early_ack) and redis.call('HEXISTS', s.early_acked, s.tag) == 1
    end

    local function acknowledge(settled)
        local tags = {}
        on_broker()
        for _, s in ipairs(settled) do
            local tag = s.tag
            if s.early_ack then
                local leased = redis.call('HGET', KEYS[1], tag)
                if leased then redis.call('HSET', s.early_acked, tag, leased) end
            end
            if s.fence == 'early_acked' then
                redis.call('HDEL', s.early_acked, tag)
                redis.call('HDEL', KEYS[9], tag)
            end
            tags[#tags + 1] = tag
        end
        acknowledge_tags(tags)
    end

    local function drop_lease(s)
        redis.call('ZREM', KEYS[2], s.tag)
        redis.call('SREM', KEYS[3], s.tag)
        return 0
    end

    -- The verdict on a settlement. found: {the chords that are ready, the groups of the chords that a speculative end
    -- has ended}.
    local function verdict_on(found)
        if #found[1] == 0 and not (found[2] and #found[2] > 0) then return 1 end
        return {1, unpack(found)}
    end

    -- Whether it may be applied twice: it has records, parts and mail, and nothing else.
    local function is_idempotent(s)
        return not (s.chord_starts or s.extensions or s.keeps or s.publishes or s.deferrals or s.permits or s.locks or s.dead)
    end

    -- End a chord that is ready by a speculative end, f, if f was made for it. Returns the outer chords that became
    -- ready; nil if the chord was not ended.
    local function apply_speculative(f, ready)
        if not use('effects').is_made_for(f, ready[3], ready[2]) then return nil end
        local done, verdict = pcall(use('effects').dispatch_chord, cmsgpack.unpack(f[3]))
        return done and verdict[1] == 1 and verdict[2] or nil
    end

    -- End the chords in found by the speculative ends of s. Returns {the chords that are ready then, the groups of
    -- those that ended, including those in found.ended}.
    local function apply_all_speculative(s, found)
        if not s.speculative then return {found} end
        local left, ended, ends = {}, found.ended, {}
        for _, f in ipairs(s.speculative) do ends[f[1]] = f end
        for _, ready in ipairs(found) do
            local outer = apply_speculative(ends[ready[1]], ready)
            if outer then ended[#ended + 1] = ready[1] end
            for _, one in ipairs(outer or {ready}) do left[#left + 1] = one end
        end
        return {left, ended}
    end

    local function apply(s)
        local found = apply_all_speculative(s, use('effects').record_and_send(s))
        on_broker()
        for _, f in ipairs(s.permits or NONE) do use('permits').release_permit(f, s.tag, KEYS[1]) end
        for _, u in ipairs(s.locks or NONE) do use('permits').release_lock(u[1], u[2]) end
        if s.dead then use('effects').dead_letter(unpack(s.dead)) end
        return found
    end

    -- The ack comes last: if an effect is refused, the message keeps its lease.
    local function settle(s)
        on_broker()
        if not is_held(s) then return drop_lease(s) end
        local done, found = pcall(apply, s)
        keep_leases()
        if not done then return refusal_or_raise(found) end
        acknowledge({s})
        return verdict_on(found)
    end

    -- Settle those that may be applied twice, and ack them together: after an error all of them are applied again.
    local function settle_idempotent(settlements, verdicts)
        local held, done = {}, {}
        on_broker()
        for i, s in ipairs(settlements) do
            if not verdicts[i] and is_idempotent(s) and not held[s.tag or i] then
                if is_held(s) then held[s.tag or i] = i else verdicts[i] = drop_lease(s) end
            end
        end
        for i, s in ipairs(settlements) do
            if not verdicts[i] and held[s.tag or i] == i then
                local whole, found = pcall(use('effects').record, s)
                if whole then verdicts[i], done[#done + 1] = verdict_on(apply_all_speculative(s, found)), s else verdicts[i] = refusal_or_raise(found) end
            end
        end
        acknowledge(done)
    end

    return function(settlements, verdicts)
        settle_idempotent(settlements, verdicts)
        for i, s in ipairs(settlements) do verdicts[i] = verdicts[i] or settle(s) end
    end
end

-- How many of the lists to lease from have messages.
local function filled_lists()
    local found = 0
    for first = FIRST_LIST, #KEYS, AT_ONCE do
        found = found + redis.call('EXISTS', unpack(KEYS, first, math.min(first + AT_ONCE - 1, #KEYS)))
    end
    return found
end

local dispatched = {}
for i, f in ipairs(cmsgpack.unpack(ARGV[7])) do dispatched[i] = use('effects').dispatch_chord(f) end

local settlements, verdicts = cmsgpack.unpack(ARGV[3]), {}
look_at_leases(settlements)
-- The last of ARGV is a message: it is leased at once, unless a list has messages or no more are wanted.
if #ARGV >= 8 + #KEYS - FIRST_LIST + 1 then
    context.push = function(m)
        if m[2] then return context.append(m) end
        local list, _, tail, queue = unpack(m, 1, 4)
        local record = ARGV[#ARGV]
        if new.wanted > 0 and filled_lists() == 0 then
            new.deliveries[1] = {false, queue}
            return lease(record)
        end
        redis.call('LPUSH', list, string.sub(record, 2, -1 - tail))
    end
end
if #settlements > 0 and not settle_plain(settlements, verdicts) then general()(settlements, verdicts) end

on_broker()
-- One command counts the lists that are not empty: most are empty, and there are several for each queue.
local filled = #new.deliveries == 0 and new.wanted > 0 and filled_lists() or 0
for k = FIRST_LIST, #KEYS do
    if filled == 0 or new.wanted <= 0 then break end
    local taken = redis.pcall('RPOP', KEYS[k], new.wanted)
    if taken and not taken.err then
        filled = filled - 1
        local queue = ARGV[k - FIRST_LIST + 8]
        local tail = ',"",' .. cjson.encode(queue) .. ']'
        for _, payload in ipairs(taken) do
            -- A payload that is not a JSON object must not be stored raw: kombu parses these records.
            lease('[' .. (string.byte(payload) == OBJECT and payload or cjson.encode(payload)) .. tail)
        end
        taken[#taken + 1] = queue
        new.deliveries[#new.deliveries + 1] = taken
    end
end
keep_leases()
return {verdicts, new.deliveries, redis.call('GET', KEYS[8]) or 0, dispatched, clock[1], clock[2]}
