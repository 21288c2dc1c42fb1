-- The effects of a settlement, or of the end of a chord.
--
-- KEYS and ARGV are the script's, which has set the fields of context.
-- Returns: send, is_made_for, record, record_and_send, dead_letter, dispatch_chord.
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

local record_and_send

-- Whether a speculative end was made for these parts and this callback.
-- f: {group, SHA-1 of parts, msgpack: as dispatch_chord.lua, callback or false}
local function is_made_for(f, parts, callback)
    return f and (not f[4] or f[4] == callback) and redis.sha1hex(table.concat(parts)) == f[2]
end

-- Go on after a wait that has got its value. part: as count_part of chords.lua takes it; ends: speculative ends by
-- group. If one of these was made for the value, it is applied, and its group is appended to found.ended. Otherwise the
-- value is counted as the only part of a chord, which is then ready and is appended to found.
local function wake(part, ends, found)
    local f = ends[part[2]]
    if is_made_for(f, {part[5]}, part[6]) then
        local done, outer = pcall(record_and_send, cmsgpack.unpack(f[3]))
        on_results()
        if done then
            found.ended[#found.ended + 1] = part[2]
            for _, one in ipairs(outer) do found[#found + 1] = one end
            return
        end
    end
    use('chords').count_part(part, found)
end

-- Write the records of s: s.runs, s.stores, s.chord_starts, s.extensions, s.keeps, s.parts and s.mail. Returns the
-- chords that became ready; the field ended has the groups of the waits that a speculative end (s.speculative) has
-- ended.
local function record(s)
    local found = {ended = {}}
    if not (s.runs or s.stores or s.chord_starts or s.extensions or s.keeps or s.parts or s.mail) then return found end
    on_results()
    for _, one in ipairs(s.runs or NONE) do use('new_runs').write(one) end
    for _, one in ipairs(s.stores or NONE) do use('records').store(one) end
    for _, one in ipairs(s.chord_starts or NONE) do use('chords').start_chord(one) end
    for _, one in ipairs(s.extensions or NONE) do use('chords').extend_chord(one) end
    for _, one in ipairs(s.keeps or NONE) do use('chords').keep_chord(one) end
    for _, one in ipairs(s.parts or NONE) do use('chords').count_part(one, found) end
    if s.mail then
        local woken, ends = {}, {}
        for _, f in ipairs(s.speculative or NONE) do ends[f[1]] = f end
        for _, one in ipairs(s.mail) do use('mailboxes').change_mailbox(one, woken) end
        for _, part in ipairs(woken) do wake(part, ends, found) end
    end
    return found
end

-- Write the records of s and send its messages. Returns the same as record.
function record_and_send(s)
    local found = record(s)
    send(s)
    return found
end

-- Make a message a dead letter. The newest `kept` letters stay, the newest first.
local function dead_letter(letters, payload, reason, queue, kept)
    local time = tostring(context.now or server_time())
    redis.call('LPUSH', letters, cmsgpack.pack({payload = payload, reason = reason, queue = queue, time = time}))
    redis.call('LTRIM', letters, 0, kept - 1)
end

-- End a chord that is ready. Returns the same as dispatch_chord.lua.
-- f, by name: {group, base, failed, expires, runs, stores, chord_starts, parts, mail, publishes, deferrals}
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
    send = send, is_made_for = is_made_for, record = record, record_and_send = record_and_send, dead_letter = dead_letter,
    dispatch_chord = dispatch_chord,
}
