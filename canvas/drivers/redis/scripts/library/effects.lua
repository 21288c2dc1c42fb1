-- The effects of a settlement, or of the end of a chord.
--
-- KEYS and ARGV are the script's, which has set the fields of context.
-- Returns: send, record, record_and_send, dead_letter, dispatch_chord.
-- Uses: context, records, chords, mailboxes, new_runs

-- Send s.publishes, {m, …}, and s.deferrals, {{id, due, list, payload}, …}.
local function send(s)
    on_broker()
    for _, m in ipairs(s.publishes or NONE) do context.push(m) end
    for _, m in ipairs(s.deferrals or NONE) do
        redis.call('ZADD', context.deferred, m[2], m[1])
        redis.call('HSET', context.messages, m[1], cmsgpack.pack({m[3], m[4]}))
    end
end

-- The result side: s.runs, s.stores, s.joins, s.extensions, s.keeps, s.parts and s.mail; returns what became ready.
local function record(s)
    local found = {}
    if not (s.runs or s.stores or s.joins or s.extensions or s.keeps or s.parts or s.mail) then return found end
    on_results()
    for _, one in ipairs(s.runs or NONE) do use('new_runs').write(one) end
    for _, one in ipairs(s.stores or NONE) do use('records').store(one) end
    for _, one in ipairs(s.joins or NONE) do use('chords').start_chord(one) end
    for _, one in ipairs(s.extensions or NONE) do use('chords').extend_chord(one) end
    for _, one in ipairs(s.keeps or NONE) do use('chords').keep_chord(one) end
    for _, one in ipairs(s.parts or NONE) do use('chords').count_part(one, found) end
    for _, one in ipairs(s.mail or NONE) do use('mailboxes').change_mailbox(one, found) end
    return found
end

-- Both sides of s; returns what became ready.
local function record_and_send(s)
    local found = record(s)
    send(s)
    return found
end

-- Keep a message among the newest `kept` dead letters, the newest first.
local function dead_letter(letters, payload, reason, queue, kept)
    local time = tostring(context.now or server_time())
    redis.call('LPUSH', letters, cmsgpack.pack({payload = payload, reason = reason, queue = queue, time = time}))
    redis.call('LTRIM', letters, 0, kept - 1)
end

-- f: {group, base, failed, expires, runs, stores, joins, parts, mail, publishes, deferrals}, by name; {held, outer chords that became ready}
local function dispatch_chord(f)
    on_results()
    local held = redis.call('HEXISTS', context.ready_key, f.group)
    if held == 0 then return {0, {}} end
    local done, found = pcall(record_and_send, f)
    if not done then return refusal_or_raise(found) end
    on_results()
    use('chords').delete_ready(f.group, f.base, f.failed, f.expires)
    return {1, found}
end

return {
    send = send, record = record, record_and_send = record_and_send, dead_letter = dead_letter,
    dispatch_chord = dispatch_chord,
}
