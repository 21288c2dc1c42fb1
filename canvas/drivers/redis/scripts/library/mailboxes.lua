-- The mailboxes of workflows' runs: values that come from outside, and the nodes that wait for them.
--
-- KEYS and ARGV are the script's, which has set the fields of context. The results' database is selected.
-- Returns: change_mailbox.
-- Uses: context, runs

-- The name of a mailbox's field in the hash of its run. Names and states are short, because Redis stores a hash of short
-- names and values in one block of memory.
local function mail_field(mailbox, name) return '@' .. name .. '\0' .. mailbox end

-- Put a value at the end of a mailbox's list. The first value is in a field without a number; most lists never have more.
-- Further values are in numbered fields, as are all values that come after them.
local function append_mail(run, mailbox, list, value)
    local last = mail_field(mailbox, list .. '>')
    if redis.call('HEXISTS', run, last) == 0 and redis.call('HSETNX', run, mail_field(mailbox, list), value) == 1 then return end
    redis.call('HSET', run, mail_field(mailbox, list .. redis.call('HINCRBY', run, last, 1)), value)
end

local function take_field(run, field)
    local value = redis.call('HGET', run, field)
    if value then redis.call('HDEL', run, field) end
    return value
end

local function pop_mail(run, mailbox, list)
    local value = take_field(run, mail_field(mailbox, list))
    if value then return value end
    local last = tonumber(redis.call('HGET', run, mail_field(mailbox, list .. '>')) or '0')
    if last == 0 then return nil end
    local first = tonumber(redis.call('HGET', run, mail_field(mailbox, list .. '<')) or '1')
    while first <= last and not value do
        value = take_field(run, mail_field(mailbox, list .. first))
        first = first + 1
        redis.call('HSET', run, mail_field(mailbox, list .. '<'), first)
    end
    return value
end

-- Read the state of a wait, or of a value, by its id; with an argument, set it. It is one of: 'd', done; 'v' and the value
-- that a later wait gets at once; 'w' and msgpack {group id, ttl} of a wait without a value. \1 stands for the run's id in
-- the group id and in the callback. The usual group id (run id, dot, wait id) is stored as '', and the usual callback is
-- not stored.
local function mail_state(run, mailbox, id, state)
    local field = mail_field(mailbox, 'i' .. id)
    if state then return redis.call('HSET', run, field, state) end
    return redis.call('HGET', run, field)
end

-- Give a wait, {group id, callback, ttl}, its value, or end it without one. The callback is in a separate field: Redis
-- needs less memory for a hash of short values.
local function end_wait(run, mailbox, id, wait, value, groups, woken)
    redis.call('HDEL', run, mail_field(mailbox, 'c' .. id))
    mail_state(run, mailbox, id, 'd')
    if value then woken[#woken + 1] = {groups .. wait[1], wait[1], id, '0', value, wait[2], wait[3], 1} end
end

local function replaced(text, old, new)
    local first, last = string.find(text, old, 1, true)
    return first and string.sub(text, 1, first - 1) .. new .. string.sub(text, last + 1) or text
end

local function run_id_of(run) return string.match(run, '^.*canvas:run:(.*)$') end

local function usual_callback(mailbox, id)
    local attempt, number, slot = string.match(id, '^(%d+)%.(%d+)%.(%a+)$')
    return attempt and '{"run":["\1",' .. attempt .. '],"step":["woken",' .. number .. ',"' .. slot .. '","' .. mailbox .. '"]}'
end

local function waiting(run, mailbox, id)
    local state = mail_state(run, mailbox, id)
    if not state or string.sub(state, 1, 1) ~= 'w' then return nil end
    local group, ttl = unpack(cmsgpack.unpack(string.sub(state, 2)))
    local callback = redis.call('HGET', run, mail_field(mailbox, 'c' .. id)) or usual_callback(mailbox, id)
    if group == '' then group = '\1.' .. id end
    if string.sub(group, 1, 1) ~= '\1' then return {group, callback, ttl} end
    return {replaced(group, '\1', run_id_of(run)), replaced(callback, '\1', run_id_of(run)), ttl}
end

local function begin_wait(run, mailbox, id, wait)
    local run_id, group, callback = run_id_of(run), wait[1], wait[2]
    if string.sub(group, 1, #run_id) == run_id and not string.find(callback, '\1', 1, true) then
        group, callback = '\1' .. string.sub(group, #run_id + 1), replaced(callback, run_id, '\1')
    end
    if group == '\1.' .. id then group = '' end
    mail_state(run, mailbox, id, 'w' .. cmsgpack.pack({group, wait[3]}))
    -- A callback with \1 in it from the start is stored with the whole group id: nothing is replaced in either.
    if group ~= '' or callback ~= usual_callback(mailbox, id) then
        redis.call('HSET', run, mail_field(mailbox, 'c' .. id), callback)
    end
    append_mail(run, mailbox, 'w', id)
end

local mail_steps = {}

-- Take the first wait from the list. Returns its id and the wait. The list may still have ids of waits that were
-- resolved; these are skipped.
local function pop_wait(run, mailbox)
    local id, wait
    repeat
        id = pop_mail(run, mailbox, 'w')
        wait = id and waiting(run, mailbox, id)
    until wait or not id
    return id, wait
end

function mail_steps.offer(run, mailbox, b, woken)
    if mail_state(run, mailbox, b[4]) then return true end
    local id, wait = pop_wait(run, mailbox)
    if not id then return false end
    mail_state(run, mailbox, b[4], 'd')
    end_wait(run, mailbox, id, wait, b[5], b[6], woken)
    return true
end

function mail_steps.post(run, mailbox, b, woken)
    if mail_steps.offer(run, mailbox, b, woken) then return end
    mail_state(run, mailbox, b[4], 'd')
    append_mail(run, mailbox, 'v', b[5])
end

function mail_steps.take(run, mailbox, b, woken)
    local state, wait = mail_state(run, mailbox, b[4]), {b[7], b[8], b[9]}
    if state and string.sub(state, 1, 1) ~= 'v' then return end
    local left = redis.call('TTL', run)
    if left >= 0 and left < b[10] then
        redis.call('EXPIRE', run, b[10])
        use('runs').keep_listed(run, b[10])
    end
    if left >= 0 then use('runs').keep_findable(run, math.max(left, b[10]), context.now or server_time()) end
    local value = state and string.sub(state, 2) or pop_mail(run, mailbox, 'v')
    if value then return end_wait(run, mailbox, b[4], wait, value, b[6], woken) end
    begin_wait(run, mailbox, b[4], wait)
end

function mail_steps.resolve(run, mailbox, b, woken)
    local state = mail_state(run, mailbox, b[4])
    if not state then return mail_state(run, mailbox, b[4], b[5] and 'v' .. b[5] or 'd') end
    local wait = waiting(run, mailbox, b[4])
    if wait then end_wait(run, mailbox, b[4], wait, b[5], b[6], woken) end
end

-- b: {run, mailbox, kind of step, id, value or false, prefix of the bases of groups, group id, callback, ttl, seconds
-- to keep the run for}, as in MailboxStep. For each wait that gets a value, appends a part, as count_part takes it, to
-- woken.
local function change_mailbox(b, woken)
    local run, mailbox, kind = b[1], b[2], b[3]
    if redis.call('EXISTS', run) == 1 then mail_steps[kind](run, mailbox, b, woken) end
end

return {change_mailbox = change_mailbox}
