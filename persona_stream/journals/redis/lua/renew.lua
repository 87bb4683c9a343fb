-- Renew the lease of a process, and end the runs of dead processes, exactly once because scripts are atomic.
-- Returns whether the process was known, the number of runs ended, whether more are left, the number of runs that it
-- executes itself, and the number of processes.
-- ARGV: process, ms between renewals, the fact that ends a lost run, retention ms, retention bytes, the fact that ends a
-- run that no worker took
--
-- A silent process is first suspected, and dead if it is still silent at a later renewal. If no process renewed its
-- lease for a while, or if Redis has just started, Redis was unavailable: then suspicion starts anew, so that the first
-- process to return ends no runs.
local MAX_ENDED = 200
local process, interval, now = ARGV[1], tonumber(ARGV[2]), now_ms()
local known = redis.call('ZSCORE', PROCESSES, process) and 1 or 0
local info = redis.pcall('INFO', 'server')  -- which a user of Redis may not be allowed to call
local uptime = type(info) == 'string' and string.match(info, 'uptime_in_seconds:(%d+)') or math.huge
local silence = now - tonumber(redis.call('GET', PULSE) or '0')
if silence > 1.5 * interval or 1000 * tonumber(uptime) < interval then redis.call('DEL', SUSPECTS) end
redis.call('SET', PULSE, now, 'PX', math.ceil(10 * interval))
redis.call('ZADD', PROCESSES, now, process)
redis.call('ZREM', SUSPECTS, process)
for _, run in ipairs(redis.call('ZRANGEBYSCORE', OFFERED, '-inf', now, 'LIMIT', 0, MAX_ENDED)) do
  local length = redis.call('XLEN', key(run, 'facts'))
  redis.call('ZREM', OFFERED, run)
  if length > 0 then
    write(run, length, {string.format('{"at":%.3f,"fact":%s}', now / 1000, ARGV[6])}, process)
    finish(run, nil, now, ARGV[4], tonumber(ARGV[5]))
  end
end
local ended = 0
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', PROCESSES, '-inf', now - interval)) do
  local since = redis.call('ZSCORE', SUSPECTS, silent)
  if not since then
    redis.call('ZADD', SUSPECTS, now, silent)
  elseif now - since > 0.9 * interval then
    while ended < MAX_ENDED do
      local run = redis.call('SPOP', runs_of(silent))
      if not run then break end
      local length = redis.call('XLEN', key(run, 'facts'))
      if length > 0 then
        write(run, length, {string.format('{"at":%.3f,"fact":%s}', now / 1000, ARGV[3])}, process)
        finish(run, silent, now, ARGV[4], tonumber(ARGV[5]))
      end
      ended = ended + 1
    end
    if ended >= MAX_ENDED then return {known, ended, 1, 0, redis.call('ZCARD', PROCESSES)} end
    redis.call('ZREM', PROCESSES, silent)
    redis.call('HDEL', WORKERS, silent)
    redis.call('ZREM', SUSPECTS, silent)
  end
end
return {known, ended, 0, redis.call('SCARD', runs_of(process)), redis.call('ZCARD', PROCESSES)}
