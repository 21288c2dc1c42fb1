-- Variables and functions that the modules of this folder share with the scripts that use them.
--
-- KEYS and ARGV are the script's. It sets these fields of ``context`` before it calls what needs them:
--   broker_db, result_db   database numbers
--   now                    unix time, seconds, of this server
--   ready_key, ready_index hash and zset of chords that are ready
--   deferred, messages     zset and hash of delayed messages
--   alive_key              zset of chords that have not ended, in the broker's database
--   workers_key            hash of canvas' workers there; false where it is on another server
-- Each effect selects the database that it needs; the code after it must select its own.
-- Returns: nothing; defines context, NONE, on_results, on_broker, server_time, refusal_or_raise.

local NONE = {}
-- All fields are set here, so that Lua allocates the table once, in its final size.
local context = {
    broker_db = false, result_db = false, selected = false, now = false, ready_key = false, ready_index = false,
    deferred = false, messages = false, alive_key = false, workers_key = false, append = false, push = false,
}

local function on(db)
    if (context.selected or context.broker_db) ~= db then
        redis.call('SELECT', db)
        context.selected = db
    end
end

local function on_results() on(context.result_db) end
local function on_broker() on(context.broker_db) end

local function server_time()
    local t = redis.call('TIME')
    return t[1] + t[2] / 1000000
end

-- Send a message. m: {list, payload, …}, or {"\0" and the channel of a fanout exchange, payload, …}
function context.append(m)
    if string.byte(m[1]) ~= 0 then return redis.call('LPUSH', unpack(m)) end
    local channel = string.sub(m[1], 2)
    for i = 2, #m do redis.call('PUBLISH', channel, m[i]) end
end

-- As context.append. settle.lua replaces this function to lease a message instead.
context.push = context.append

-- The verdict {-1, why} for an error that would occur again, as that of a key of the wrong type. The effects that were
-- applied before it may be applied again. An error that may pass ends the whole script, and the caller tries again.
local function refusal_or_raise(failure)
    local why = type(failure) == 'table' and failure.err or tostring(failure)
    for _, passing in ipairs({'OOM ', 'READONLY', 'MISCONF', 'NOREPLICAS', 'NOPERM', 'LOADING', 'MASTERDOWN', 'CLUSTERDOWN'}) do
        if string.find(why, passing, 1, true) then error(failure, 0) end
    end
    return {-1, why}
end
