-- Functions shared by all scripts. Keys are named as in keys.py; each new key needs an expiry here.
local PREFIX = 'persona_stream:'
local PROCESSES = PREFIX .. 'processes'    -- process -> the time of its last heartbeat
local SUSPECTS = PREFIX .. 'suspects'      -- process -> the time when it was first found silent
local OFFERED = PREFIX .. 'offered'        -- run -> the time when it fails unless a worker takes it
local WORKERS = PREFIX .. 'workers'        -- process -> its description, if it is a worker
local PULSE = PREFIX .. 'pulse'            -- the time of the last heartbeat of any process
local ENDED = PREFIX .. 'ended'            -- '<bytes>:<run>' -> the time of its end
local KEPT_BYTES = PREFIX .. 'ended:bytes'
local MAX_MESSAGE_BYTES = 16384            -- a longer fact is only announced, and read from the stream
local MAX_EVICTIONS = 100                  -- per call, because a script blocks Redis
local DURATIONS = PREFIX .. 'durations'    -- backend -> the id of the newest entry of its history
local MAX_DURATIONS = 200                  -- of each backend, as many as a forecast uses
local DURATIONS_LIFETIME = 30 * 86400000   -- ms without a run

local function key(run, what) return PREFIX .. '{' .. run .. '}:' .. what end
local function runs_of(process) return PREFIX .. 'process:' .. process .. ':runs' end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The arguments from the n-th on. (unpack would give up at some thousands.)
local function arguments_from(n)
  local rest = {}
  for i = n, #ARGV do rest[#rest + 1] = ARGV[i] end
  return rest
end

-- Add the duration of a run to the history of its backend, once its text begins or it ends without: as `finished_run`
-- in Python does. Failures, runs that never started, and runs that asked the user are left out.
local function record_duration(run, entry)
  local record = key(run, 'record')
  local at, kind = string.match(entry, '^{"at":([%d.]+),"fact":{"type":"([%l_]+)"')
  if kind == 'started' then
    redis.call('HSET', record, 'started', at, 'history_tokens', string.match(entry, '"history_tokens":(%d+)') or 0)
    return
  end
  if kind == 'input_requested' then redis.call('HDEL', record, 'started', 'history_tokens') return end
  local outcome = (kind == 'delta' or kind == 'answered') and 'complete' or nil
  if kind == 'failed' then
    local code = string.match(entry, '^{"at":[%d.]+,"fact":{"type":"failed","code":"([%l_]+)"')
    outcome = (code == 'timeout' or code == 'cancelled') and code or nil
  end
  local noted = outcome and redis.call('HMGET', record, 'started', 'history_tokens') or {}
  if not noted[1] then return end
  redis.call('HDEL', record, 'started', 'history_tokens')
  -- A long text follows the line of JSON.
  if kind == 'answered' and string.find(string.match(entry, '^[^\n]*'), '"cached":true', 1, true) then return end
  local accepted = redis.call('XRANGE', key(run, 'facts'), '-', '+', 'COUNT', 1)[1][2][2]
  -- Decoding the stored request would block Redis for 5 ms per MiB; the terms that count here come before it.
  local request = string.find(accepted, ',"request":"', 1, true)
  if request then accepted = string.sub(accepted, 1, request - 1) .. '}}' end
  local readable, terms = pcall(function() return cjson.decode(accepted).fact end)
  if not readable or (terms.backend or '') == '' then return end
  local history = DURATIONS .. ':' .. terms.backend
  local finished = cjson.encode({
    duration = math.max(0, at - noted[1]), outcome = outcome,
    features = {
      question_tokens = terms.question_tokens, history_tokens = tonumber(noted[2]), persona = terms.username,
      at = tonumber(noted[1]),
    },
  })
  local id = redis.call('XADD', history, 'MAXLEN', MAX_DURATIONS, '*', 'run', finished)
  redis.call('HSET', DURATIONS, terms.backend, id)
  redis.call('PEXPIRE', history, DURATIONS_LIFETIME)
  redis.call('PEXPIRE', DURATIONS, DURATIONS_LIFETIME)
end

-- Append facts after the first `length`, and publish them to the followers and to the process that executes the run.
local function write(run, length, entries, author)
  local runner = redis.call('HGET', key(run, 'record'), 'process')
  local bytes = 0
  for i, entry in ipairs(entries) do
    local number = length + i
    redis.call('XADD', key(run, 'facts'), '0-' .. number, 'entry', entry)
    bytes = bytes + #entry
    local message = run .. ' ' .. (number - 1)
    if #entry <= MAX_MESSAGE_BYTES then message = message .. ' ' .. entry end
    redis.call('PUBLISH', key(run, 'news'), message)
    if runner and runner ~= author then redis.call('PUBLISH', PREFIX .. 'process:' .. runner, message) end
    record_duration(run, entry)
  end
  redis.call('HINCRBY', key(run, 'record'), 'bytes', bytes)
  return runner
end

local function evict(run, keep_ms)
  local claim = redis.call('HGET', key(run, 'record'), 'claim')
  if claim and claim ~= '' and redis.call('HGET', claim, 'run') == run then redis.call('DEL', claim) end
  redis.call('DEL', key(run, 'facts'), key(run, 'record'))
  redis.call('SET', key(run, 'gone'), '', 'PX', keep_ms)
end

-- Remove expired runs from the count, then evict the runs with the oldest end until the limit holds.
local function enforce_limit(now, keep_ms, keep_bytes)
  local expired = redis.call('ZRANGEBYSCORE', ENDED, '-inf', now - keep_ms, 'LIMIT', 0, MAX_EVICTIONS)
  for _, name in ipairs(expired) do
    redis.call('ZREM', ENDED, name)
    redis.call('DECRBY', KEPT_BYTES, string.match(name, '^(%d+):'))
  end
  for _ = 1, MAX_EVICTIONS do
    if tonumber(redis.call('GET', KEPT_BYTES) or '0') <= keep_bytes then return end
    local oldest = redis.call('ZRANGE', ENDED, 0, 0)[1]
    if not oldest then redis.call('DEL', KEPT_BYTES) return end
    local bytes, run = string.match(oldest, '^(%d+):(.*)$')
    redis.call('ZREM', ENDED, oldest)
    redis.call('DECRBY', KEPT_BYTES, bytes)
    evict(run, keep_ms)
  end
end

-- Apply the retention limits to a run that has ended, and remove it from the runs of its process.
local function finish(run, runner, now, keep_ms, keep_bytes)
  local record = key(run, 'record')
  local kept = redis.call('HMGET', record, 'bytes', 'claim')
  redis.call('PEXPIRE', key(run, 'facts'), keep_ms)
  redis.call('PEXPIRE', record, keep_ms)
  if kept[2] and kept[2] ~= '' and redis.call('HGET', kept[2], 'run') == run then
    redis.call('PEXPIRE', kept[2], keep_ms)
  end
  if runner then redis.call('SREM', runs_of(runner), run) else redis.call('ZREM', OFFERED, run) end
  local bytes = kept[1] or '0'
  redis.call('ZADD', ENDED, now, bytes .. ':' .. run)
  redis.call('INCRBY', KEPT_BYTES, bytes)
  redis.call('PEXPIRE', ENDED, keep_ms)
  redis.call('PEXPIRE', KEPT_BYTES, keep_ms)
  enforce_limit(now, keep_ms, keep_bytes)
end
