-- Say that a process lives, and end the runs of processes that do not: all of it at once, so exactly once.
-- Gives whether the process was known, how many runs were ended, whether more are waiting, how many it runs itself, and
-- how many processes there are.
-- ARGV: process, ms between renewals, the fact that ends a lost run, retention ms, retention bytes
--
-- A silent process is first suspected, and is dead if it is still silent at a later look. After a time in which nobody
-- was heard it was Redis that was away: then suspicion begins anew, so that the first to come back ends nobody's runs.
local MOST = 200
local process, beat, now = ARGV[1], tonumber(ARGV[2]), now_ms()
local known = redis.call('ZSCORE', PROCESSES, process) and 1 or 0
if now - tonumber(redis.call('GET', PULSE) or '0') > 1.5 * beat then redis.call('DEL', SUSPECTS) end
redis.call('SET', PULSE, now, 'PX', math.ceil(10 * beat))
redis.call('ZADD', PROCESSES, now, process)
redis.call('ZREM', SUSPECTS, process)
local ended = 0
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', PROCESSES, '-inf', now - beat)) do
  local since = redis.call('ZSCORE', SUSPECTS, silent)
  if not since then
    redis.call('ZADD', SUSPECTS, now, silent)
  elseif now - since > 0.5 * beat then
    while ended < MOST do
      local run = redis.call('SPOP', runs_of(silent))
      if not run then break end
      local length = redis.call('XLEN', key(run, 'facts'))
      if length > 0 then
        write(run, length, {string.format('{"at":%.3f,"fact":%s}', now / 1000, ARGV[3])}, process)
        conclude(run, silent, now, ARGV[4], tonumber(ARGV[5]))
      end
      ended = ended + 1
    end
    if ended >= MOST then return {known, ended, 1, 0, redis.call('ZCARD', PROCESSES)} end
    redis.call('ZREM', PROCESSES, silent)
    redis.call('ZREM', SUSPECTS, silent)
  end
end
return {known, ended, 0, redis.call('SCARD', runs_of(process)), redis.call('ZCARD', PROCESSES)}
