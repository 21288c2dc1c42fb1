-- End chords, commit a batch of settlements, each whole or not at all, and lease more messages.
--
-- KEYS[1] unacked   KEYS[2] unacked_index   KEYS[3] leases of this worker   KEYS[4] canvas:deferred
-- KEYS[5] canvas:deferred:messages   KEYS[6] canvas:ready   KEYS[7] canvas:ready:index
-- KEYS[8] canvas:revoked:revision   KEYS[9] hash of reasons of orphans   KEYS[10…] lists to lease from, in order
-- ARGV[1] broker db   ARGV[2] result db   ARGV[3] settlements, msgpack:
--     {{tag or false, fence, stores, joins, grows, parts, publishes, deferrals, dead or false, begins, frees, unlocks, begun}, …}
--     fence: "lease", "begun" or "none"; begun: hash of messages that the tag's worker acked before they ran
--     frees: {{places, parked, hash of keys with parked messages, key, start of begun keys}, …}; unlocks: {{lock, owner}, …}
--     dead: {list of dead letters, payload, reason, queue, how many to keep}
-- ARGV[4] how many to lease   ARGV[5] tag prefix   ARGV[6] number of the first tag
-- ARGV[7] chords to end, msgpack: {as fire.lua, …}   ARGV[8…] queue name of each list
-- Returns {verdicts, deliveries, revision of what is revoked, verdicts on chords, unix time}: verdict {held, ready chords {group, fire, parts, structure}}, delivery {tag, queue, payload}; {-1, why} for what cannot be done

broker_db, result_db = ARGV[1], ARGV[2]
deferred, messages, ready_key, ready_index = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
now = server_time()

local function is_held(tag, fence, begun)
    if fence == 'none' then return true end
    return redis.call('HEXISTS', fence == 'begun' and begun or KEYS[1], tag) == 1
end

local function acknowledge(s)
    local tag = s[1]
    if s[10] then
        local leased = redis.call('HGET', KEYS[1], tag)
        if leased then redis.call('HSET', s[13], tag, leased) end
    end
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
    redis.call('SREM', KEYS[3], tag)
    if s[2] == 'begun' then
        redis.call('HDEL', s[13], tag)
        redis.call('HDEL', KEYS[9], tag)
    end
end

local function take_effect(s)
    local tag = s[1]
    local found = record(s[3], s[4], s[5], s[6])
    send(s[7], s[8])
    for _, f in ipairs(s[11]) do free(f, tag, KEYS[1]) end
    for _, u in ipairs(s[12]) do unlock(u[1], u[2]) end
    if s[9] then
        local letter = {payload = s[9][2], reason = s[9][3], queue = s[9][4], time = tostring(now)}
        redis.call('LPUSH', s[9][1], cmsgpack.pack(letter))
        redis.call('LTRIM', s[9][1], 0, s[9][5] - 1)
    end
    return found
end

-- The ack comes last: what one of the effects is refused for keeps its lease.
local function settle(s)
    local tag = s[1]
    if tag and not is_held(tag, s[2], s[13]) then
        redis.call('ZREM', KEYS[2], tag)
        redis.call('SREM', KEYS[3], tag)
        return {0, {}}
    end
    local done, found = pcall(take_effect, s)
    if not done then return refused(found) end
    if tag then acknowledge(s) end
    return {1, found}
end

local fired = {}
for i, f in ipairs(cmsgpack.unpack(ARGV[7])) do fired[i] = fire(f) end

local verdicts = {}
for i, s in ipairs(cmsgpack.unpack(ARGV[3])) do verdicts[i] = settle(s) end

local deliveries, hashed, scored, tags = {}, {}, {}, {}
local wanted, number = tonumber(ARGV[4]), tonumber(ARGV[6])
for k = 10, #KEYS do
    if wanted <= 0 then break end
    local taken = redis.pcall('RPOP', KEYS[k], wanted)
    if taken and not taken.err then
        local queue = ARGV[k - 2]
        for _, payload in ipairs(taken) do
            local tag = ARGV[5] .. string.format('%.0f', number)
            number = number + 1
            -- What is no JSON object must not stand raw among records that kombu parses.
            local body = string.sub(payload, 1, 1) == '{' and payload or cjson.encode(payload)
            hashed[#hashed + 1], hashed[#hashed + 2] = tag, '[' .. body .. ',"",' .. cjson.encode(queue) .. ']'
            scored[#scored + 1], scored[#scored + 2] = string.format('%.6f', now), tag
            tags[#tags + 1] = tag
            deliveries[#deliveries + 1] = {tag, queue, payload}
        end
        wanted = wanted - #taken
    end
end
if #tags > 0 then
    redis.call('HSET', KEYS[1], unpack(hashed))
    redis.call('ZADD', KEYS[2], unpack(scored))
    redis.call('SADD', KEYS[3], unpack(tags))
end
return {verdicts, deliveries, redis.call('GET', KEYS[8]) or 0, fired, string.format('%.6f', now)}
