-- Move delayed messages that are due into their lists.
--
-- A list takes messages until it is full; the others stay delayed until a later call. So a message that a client sends
-- waits behind one full list, not behind all messages that were due at once. Of the messages that are late, each call
-- moves some into a full list too.
--
-- KEYS[1] canvas:delayed   KEYS[2] canvas:delayed:messages   KEYS[3] canvas:workers
-- ARGV[1] how many at most   ARGV[2] prefix of the names of lists   ARGV[3] prefix of the keys of dead letters
-- ARGV[4] how many dead letters to keep   ARGV[5] the text between a queue's name and a priority step
-- ARGV[6] messages of a full list, for each worker   ARGV[7] seconds after which a message is late
-- ARGV[8] prefix of the names of nodes' own queues: messages for a node that is gone are dropped
-- Returns how many were moved. A message that its list refuses becomes a dead letter, and counts as moved.
-- Uses: context, effects

local function queue_of(list)
    local before = #list - #ARGV[5] - 1
    if before > 0 and string.sub(list, before + 1, -2) == ARGV[5] and string.find(list, '%d$') then
        return string.sub(list, 1, before)
    end
    return list
end

local now, full = server_time(), tonumber(ARGV[6]) * math.max(1, redis.call('HLEN', KEYS[3]))
local PAGE, LATE_AT_ONCE = 100, 10
local room, late_room = {}, {}

local function takes(list, due)
    if not room[list] then
        -- A key of another type has no length: the move is refused with the reason.
        local length = redis.pcall('LLEN', list)
        room[list], late_room[list] = type(length) == 'number' and full - length or full, LATE_AT_ONCE
    end
    local left = room[list] <= 0 and due < now - ARGV[7] and late_room or room
    left[list] = left[list] - 1
    return left[list] >= 0
end

-- Whether a list is that of a node which is gone.
local function is_abandoned(list)
    if string.find(list, ARGV[8], #ARGV[2] + 1, true) ~= #ARGV[2] + 1 then return false end
    for _, lists in ipairs(redis.call('HVALS', KEYS[3])) do
        for _, one in ipairs(cjson.decode(lists)) do
            if one == list then return false end
        end
    end
    return true
end

local function move(m)
    if is_abandoned(m[1]) then return end
    local done, why = pcall(context.append, m)
    if not done then
        local list = string.sub(m[1], #ARGV[2] + 1)
        local queue = queue_of(list)
        use('effects').dead_letter(ARGV[3] .. queue, m[2], refusal_or_raise(why)[2], queue, ARGV[4])
    end
end

local until_now = string.format('%.6f', now)

-- Move the messages of a page whose lists are not full. Returns how many were moved, and how many were not.
local function move_page(first, size)
    local due = redis.call('ZRANGE', KEYS[1], '-inf', until_now, 'BYSCORE', 'LIMIT', first, size, 'WITHSCORES')
    local moved = 0
    for at = 1, #due, 2 do
        local id = due[at]
        local packed = redis.call('HGET', KEYS[2], id)
        local m = packed and cmsgpack.unpack(packed)
        if not m or takes(m[1], tonumber(due[at + 1])) then
            if m then move(m) end
            redis.call('HDEL', KEYS[2], id)
            redis.call('ZREM', KEYS[1], id)
            moved = moved + 1
        end
    end
    return moved, #due / 2 - moved
end

local limit, moved, left = tonumber(ARGV[1]), 0, 0
repeat
    local some, others = move_page(0, math.min(PAGE, limit - moved))
    moved, left = moved + some, others
until left > 0 or some < PAGE or moved >= limit
-- Messages for lists that are not full may be due after those that were held back: each call reads another page.
local behind = left > 0 and redis.call('ZCOUNT', KEYS[1], '-inf', until_now) - left or 0
if behind > 0 and moved < limit then
    local page = math.floor(now * 100) % math.ceil(behind / PAGE)
    moved = moved + move_page(left + page * PAGE, math.min(PAGE, limit - moved))
end
return moved
